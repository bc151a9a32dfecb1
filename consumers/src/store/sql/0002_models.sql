-- Which model saw it: null in rows of before, and where it is not known.
ALTER TABLE events ADD COLUMN model text, ADD COLUMN model_sha256 text;
ALTER TABLE tracks ADD COLUMN model text, ADD COLUMN model_sha256 text;
