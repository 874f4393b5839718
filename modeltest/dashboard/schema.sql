-- The index of a dashboard, version 1. docs/dashboard.md describes it for those who ask it questions.
CREATE TABLE runs (
    run INTEGER PRIMARY KEY AUTOINCREMENT,
    directory TEXT NOT NULL UNIQUE,
    signature TEXT NOT NULL,
    run_sha256 TEXT,
    state TEXT NOT NULL,
    problem TEXT,
    started TEXT,
    model TEXT NOT NULL DEFAULT '',
    task TEXT NOT NULL DEFAULT '',
    engine TEXT NOT NULL DEFAULT '',
    device TEXT NOT NULL DEFAULT '',
    verdict TEXT,
    reasons TEXT NOT NULL DEFAULT '[]',
    warnings TEXT NOT NULL DEFAULT '[]',
    command TEXT,
    facts TEXT NOT NULL DEFAULT '{}',
    report TEXT,
    accepted INTEGER NOT NULL DEFAULT 0,
    reason_codes TEXT NOT NULL DEFAULT '[]',
    warning_codes TEXT NOT NULL DEFAULT '[]',
    problem_code TEXT,
    decision TEXT,
    decision_tone TEXT
);

CREATE TABLE metrics (
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    family TEXT NOT NULL,
    part TEXT NOT NULL,
    unit TEXT NOT NULL,
    better TEXT,
    value REAL,
    low REAL,
    high REAL,
    followed INTEGER NOT NULL,
    PRIMARY KEY (run, family, part)
) WITHOUT ROWID;

CREATE TABLE evidence (
    run INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    questions_sha256 TEXT,
    outcomes TEXT,
    content TEXT NOT NULL
);

CREATE TABLE question_sets (
    sha256 TEXT PRIMARY KEY,
    questions TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE comparisons (
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    reference INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    family TEXT NOT NULL,
    part TEXT NOT NULL,
    mark TEXT NOT NULL,
    change REAL,
    low REAL,
    high REAL,
    note TEXT NOT NULL,
    note_code TEXT,
    PRIMARY KEY (run, reference, family, part)
) WITHOUT ROWID;
CREATE INDEX comparisons_by_reference ON comparisons (reference);

CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
