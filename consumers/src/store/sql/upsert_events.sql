INSERT INTO events (
    id, at, type, camera, epoch, seq, generation, track_key, class_id, label, confidence, line, direction, zone,
    duration_s, appeared, vanished, x_min, y_min, x_max, y_max, labels, more, model, model_sha256
)
SELECT
    id, 'epoch'::timestamptz + at_us * interval '1 microsecond', type, camera, epoch, seq, generation, track_key, class_id,
    label, confidence, line, direction, zone, duration_s, appeared, vanished, x_min, y_min, x_max, y_max, labels::jsonb,
    more::jsonb, model, model_sha256
FROM unnest(
    $1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[], $9::bigint[],
    $10::text[], $11::real[], $12::text[], $13::text[], $14::text[], $15::double precision[], $16::boolean[],
    $17::boolean[], $18::real[], $19::real[], $20::real[], $21::real[], $22::text[], $23::text[], $24::text[], $25::text[]
) AS row (
    id, at_us, type, camera, epoch, seq, generation, track_key, class_id, label, confidence, line, direction, zone,
    duration_s, appeared, vanished, x_min, y_min, x_max, y_max, labels, more, model, model_sha256
)
ON CONFLICT (id, at) DO UPDATE SET
    generation = excluded.generation, track_key = excluded.track_key, class_id = excluded.class_id,
    label = excluded.label, confidence = excluded.confidence, direction = excluded.direction,
    duration_s = excluded.duration_s, appeared = excluded.appeared, vanished = excluded.vanished,
    x_min = excluded.x_min, y_min = excluded.y_min, x_max = excluded.x_max, y_max = excluded.y_max,
    labels = excluded.labels, more = excluded.more, model = excluded.model, model_sha256 = excluded.model_sha256,
    written_at = excluded.written_at
-- What is written again as it was changes nothing.
WHERE (
    events.generation, events.track_key, events.class_id, events.label, events.confidence, events.direction,
    events.duration_s, events.appeared, events.vanished, events.x_min, events.y_min, events.x_max, events.y_max,
    events.labels, events.more, events.model, events.model_sha256
) IS DISTINCT FROM (
    excluded.generation, excluded.track_key, excluded.class_id, excluded.label, excluded.confidence, excluded.direction,
    excluded.duration_s, excluded.appeared, excluded.vanished, excluded.x_min, excluded.y_min, excluded.x_max,
    excluded.y_max, excluded.labels, excluded.more, excluded.model, excluded.model_sha256
)
