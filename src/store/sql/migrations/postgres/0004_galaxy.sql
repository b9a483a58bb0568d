CREATE TABLE galaxy (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    read_at BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);
