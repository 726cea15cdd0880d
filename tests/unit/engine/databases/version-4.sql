-- a database as version 4 made it
BEGIN TRANSACTION;
CREATE TABLE containers (id TEXT PRIMARY KEY, pod TEXT NOT NULL, name TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL DEFAULT 0);
INSERT INTO "containers" VALUES('c1','aa','',0);
INSERT INTO "containers" VALUES('c2','aa','app',1);
CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, about TEXT NOT NULL, type TEXT NOT NULL, reason TEXT NOT NULL,
        message TEXT NOT NULL, first_wall REAL NOT NULL, last_wall REAL NOT NULL, count INTEGER NOT NULL);
INSERT INTO "events" VALUES(1,'default/web','Warning','BackOff','restarting',1.0,2.5,3);
CREATE TABLE leases (
        address TEXT PRIMARY KEY, family INTEGER NOT NULL, network TEXT NOT NULL,
        kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        UNIQUE (kind, namespace, name, family));
INSERT INTO "leases" VALUES('10.9.0.7',4,'default','Pod','default','web');
INSERT INTO "leases" VALUES('fd00:9::7',6,'default','Pod','default','web');
CREATE TABLE pods (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        ports TEXT NOT NULL DEFAULT '[]', published INTEGER NOT NULL DEFAULT 0, requested INTEGER NOT NULL DEFAULT 0);
INSERT INTO "pods" VALUES('aa','Pod','default','web','[[8080, 80, "TCP", ""]]',1,0);
INSERT INTO "pods" VALUES('bb','Pod','default','db','[]',0,250);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "settings" VALUES('network.subnet','10.9.0.0/24');
INSERT INTO "settings" VALUES('records.filed','yes');
CREATE INDEX pods_by_key ON pods (kind, namespace, name);
CREATE INDEX containers_by_pod ON containers (pod);
CREATE INDEX events_by_about ON events (about, seq);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',1);
COMMIT;
PRAGMA user_version = 4;
