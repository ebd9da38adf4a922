-- What was brought from another license server: each of its licenses once, however often it is imported.

CREATE TABLE imports (
    source text NOT NULL,
    -- Its id there.
    source_id text NOT NULL CHECK (char_length(source_id) BETWEEN 1 AND 200),
    license_id uuid NOT NULL REFERENCES licenses,
    PRIMARY KEY (source, source_id)
);
