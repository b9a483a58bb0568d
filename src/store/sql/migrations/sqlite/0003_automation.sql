INSERT INTO locks (name, value) VALUES ('variable_types', 0);

CREATE TABLE playbooks (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX playbooks_owner ON playbooks (owner, id);

CREATE TABLE variable_types (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    description TEXT,
    pattern TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    created_by TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE favorites (
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (owner, kind, name)
);

INSERT INTO variable_types (id, name, label, description, pattern, active, created_by, version, created_at, updated_at)
SELECT '01890000-0000-7000-8000-000000000001', 'mail', 'Email', 'An e-mail address.', '^[a-zA-Z0-9_.+-]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+$', TRUE, '', 1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, CAST(strftime('%s', 'now') AS INTEGER) * 1000000
UNION ALL SELECT '01890000-0000-7000-8000-000000000002', 'ip', 'IP Address', 'Four numbers with dots between them.', '^(\d{1,3}\.){3}\d{1,3}$', TRUE, '', 1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, CAST(strftime('%s', 'now') AS INTEGER) * 1000000
UNION ALL SELECT '01890000-0000-7000-8000-000000000003', 'url', 'URL', 'An address of the web.', '^https?://.*', TRUE, '', 1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, CAST(strftime('%s', 'now') AS INTEGER) * 1000000
UNION ALL SELECT '01890000-0000-7000-8000-000000000004', 'json', 'JSON', 'Any value in JSON.', '| from_json', TRUE, '', 1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, CAST(strftime('%s', 'now') AS INTEGER) * 1000000
UNION ALL SELECT '01890000-0000-7000-8000-000000000005', 'yaml', 'YAML', 'Any value in YAML.', '| from_yaml', TRUE, '', 1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, CAST(strftime('%s', 'now') AS INTEGER) * 1000000;
