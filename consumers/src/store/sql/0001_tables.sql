-- What happened, one row an event. The key holds the time, as TimescaleDB wants it; the same id always has the same time.
CREATE TABLE events (
    id          text        NOT NULL,
    at          timestamptz NOT NULL,
    type        text        NOT NULL,
    camera      text        NOT NULL,
    epoch       bigint      NOT NULL,
    seq         bigint      NOT NULL,
    generation  bigint      NOT NULL,
    track_key   text,
    class_id    bigint,
    label       text,
    confidence  real,
    line        text,
    direction   text,
    zone        text,
    duration_s  double precision,
    appeared    boolean     NOT NULL,
    vanished    boolean     NOT NULL,
    -- The box, in fractions of the frame.
    x_min       real,
    y_min       real,
    x_max       real,
    y_max       real,
    -- The camera's.
    labels      jsonb       NOT NULL,
    -- Fields of event/1 that have no column.
    more        jsonb,
    written_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, at)
);
CREATE INDEX events_camera_at ON events (camera, at DESC);
CREATE INDEX events_type_at ON events (type, at DESC);
CREATE INDEX events_at ON events USING brin (at);

-- Every object that was seen, once it is gone.
CREATE TABLE tracks (
    track_key   text        NOT NULL,
    camera      text        NOT NULL,
    class_id    bigint,
    label       text,
    first_seen  timestamptz NOT NULL,
    last_seen   timestamptz NOT NULL,
    -- At its best sight.
    confidence  real,
    best        jsonb,
    path        jsonb       NOT NULL,
    labels      jsonb       NOT NULL,
    written_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (track_key, last_seen)
);
CREATE INDEX tracks_camera_last_seen ON tracks (camera, last_seen DESC);
CREATE INDEX tracks_last_seen ON tracks USING brin (last_seen);

-- How much was seen, by the minute in which it was captured. Written when the minute is over; a minute that was not read
-- from its start has no row.
CREATE TABLE detections_per_minute (
    camera            text        NOT NULL,
    label             text        NOT NULL,
    minute            timestamptz NOT NULL,
    -- Frames of the camera in the minute, with or without this label.
    frames            bigint      NOT NULL,
    detections        bigint      NOT NULL,
    max_simultaneous  bigint      NOT NULL,
    mean_confidence   double precision NOT NULL,
    written_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (camera, label, minute)
);
CREATE INDEX detections_per_minute_minute ON detections_per_minute USING brin (minute);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        PERFORM create_hypertable('events', 'at');
        PERFORM create_hypertable('tracks', 'last_seen');
        PERFORM create_hypertable('detections_per_minute', 'minute');
    END IF;
END
$$;
