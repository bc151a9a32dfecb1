DELETE FROM events USING unnest($1::text[], $2::bigint[]) AS whole (job, epoch)
WHERE events.camera = whole.job AND events.epoch < whole.epoch
