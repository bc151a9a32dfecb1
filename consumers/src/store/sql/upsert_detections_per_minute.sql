INSERT INTO detections_per_minute (camera, label, minute, frames, detections, max_simultaneous, mean_confidence)
SELECT
    camera, label, 'epoch'::timestamptz + minute_ms * interval '1 millisecond', frames, detections, max_simultaneous,
    mean_confidence
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::double precision[]
) AS row (camera, label, minute_ms, frames, detections, max_simultaneous, mean_confidence)
ON CONFLICT (camera, label, minute) DO UPDATE SET
    frames = excluded.frames, detections = excluded.detections, max_simultaneous = excluded.max_simultaneous,
    mean_confidence = excluded.mean_confidence, written_at = excluded.written_at
-- A minute only grows: who slept while others went on does not take it back.
WHERE excluded.frames > detections_per_minute.frames
