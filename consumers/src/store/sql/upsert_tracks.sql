INSERT INTO tracks (
    track_key, camera, class_id, label, first_seen, last_seen, confidence, best, path, labels, model, model_sha256
)
SELECT
    track_key, camera, class_id, label, 'epoch'::timestamptz + first_us * interval '1 microsecond',
    'epoch'::timestamptz + last_us * interval '1 microsecond', confidence, best::jsonb, path::jsonb, labels::jsonb, model,
    model_sha256
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::real[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[]
) AS row (track_key, camera, class_id, label, first_us, last_us, confidence, best, path, labels, model, model_sha256)
ON CONFLICT (track_key, last_seen) DO UPDATE SET
    class_id = excluded.class_id, label = excluded.label, first_seen = excluded.first_seen,
    confidence = excluded.confidence, best = excluded.best, path = excluded.path, labels = excluded.labels,
    model = excluded.model, model_sha256 = excluded.model_sha256, written_at = excluded.written_at
WHERE (
    tracks.class_id, tracks.label, tracks.first_seen, tracks.confidence, tracks.best, tracks.path, tracks.labels,
    tracks.model, tracks.model_sha256
) IS DISTINCT FROM (
    excluded.class_id, excluded.label, excluded.first_seen, excluded.confidence, excluded.best, excluded.path,
    excluded.labels, excluded.model, excluded.model_sha256
)
