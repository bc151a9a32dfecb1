-- A job's track is of one epoch, which its key holds: job/epoch/track.
DELETE FROM tracks USING unnest($1::text[], $2::bigint[]) AS whole (job, epoch)
WHERE tracks.camera = whole.job AND split_part(tracks.track_key, '/', 2)::bigint < whole.epoch
