-- db: more_x
-- A site with posts and comments, a queue of jobs, a series of measurements, accounts and places.

CREATE TABLE wp_posts (ID bigint(20) unsigned NOT NULL AUTO_INCREMENT, post_author bigint(20) unsigned NOT NULL DEFAULT '0', post_date datetime NOT NULL DEFAULT '1000-01-01 00:00:00', post_content longtext NOT NULL, post_title text NOT NULL, post_status varchar(20) NOT NULL DEFAULT 'publish', post_name varchar(200) NOT NULL DEFAULT '', post_parent bigint(20) unsigned NOT NULL DEFAULT '0', menu_order int(11) NOT NULL DEFAULT '0', post_type varchar(20) NOT NULL DEFAULT 'post', comment_count bigint(20) NOT NULL DEFAULT '0', PRIMARY KEY (ID), KEY post_name (post_name(191)), KEY type_status_date (post_type, post_status, post_date, ID)) DEFAULT CHARACTER SET utf8mb4;
CREATE TABLE wp_postmeta (meta_id bigint(20) unsigned NOT NULL auto_increment, post_id bigint(20) unsigned NOT NULL default '0', meta_key varchar(255) default NULL, meta_value longtext, PRIMARY KEY (meta_id), KEY post_id (post_id), KEY meta_key (meta_key(191)));
CREATE TABLE wp_options (option_id bigint(20) unsigned NOT NULL auto_increment, option_name varchar(191) NOT NULL default '', option_value longtext NOT NULL, autoload varchar(20) NOT NULL default 'yes', PRIMARY KEY (option_id), UNIQUE KEY option_name (option_name), KEY autoload (autoload));
CREATE TABLE jobs (id INT AUTO_INCREMENT PRIMARY KEY, queue VARCHAR(40) NOT NULL, payload JSON NOT NULL, attempts TINYINT UNSIGNED NOT NULL DEFAULT 0, reserved_at INT UNSIGNED NULL, available_at INT UNSIGNED NOT NULL, created_at INT UNSIGNED NOT NULL, INDEX (queue, reserved_at));
CREATE TABLE samples (sensor SMALLINT NOT NULL, at DATETIME(3) NOT NULL, value DOUBLE NOT NULL, quality BIT(4) NOT NULL DEFAULT b'1111', raw VARBINARY(8), PRIMARY KEY (sensor, at)) PARTITION BY RANGE (sensor) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN MAXVALUE);
CREATE TABLE accounts (iban CHAR(22) CHARACTER SET latin1 NOT NULL PRIMARY KEY, owner VARCHAR(80) NOT NULL, cents BIGINT NOT NULL DEFAULT 0, opened DATE NOT NULL, CHECK (cents >= -100000));
CREATE TABLE bookings (id BIGINT AUTO_INCREMENT PRIMARY KEY, debit CHAR(22) CHARACTER SET latin1 NOT NULL, credit CHAR(22) CHARACTER SET latin1 NOT NULL, cents BIGINT UNSIGNED NOT NULL, booked YEAR NOT NULL, text VARCHAR(140), FOREIGN KEY (debit) REFERENCES accounts (iban), FOREIGN KEY (credit) REFERENCES accounts (iban));
CREATE TABLE places (id INT PRIMARY KEY, name VARCHAR(40) COLLATE utf8mb4_unicode_ci, spot POINT NOT NULL, area POLYGON, opens TIME, closes TIME(2), SPATIAL INDEX (spot));
CREATE TABLE odd (`select` INT, `a b` VARCHAR(10), `back``tick` INT, `größe` DECIMAL(5,1), `?` INT);
CREATE TABLE t_no_key (a INT, b VARCHAR(5) BINARY, c CHAR(3) CHARACTER SET ascii, d TINYBLOB, e MEDIUMTEXT, f REAL, g NUMERIC(5), h BOOL, i FLOAT(7,3), j INT(5) ZEROFILL);

INSERT INTO `wp_posts` (`post_author`, `post_date`, `post_content`, `post_title`, `post_name`) VALUES (1, '2026-05-01 10:00:00', '<!-- wp:paragraph -->\n<p>Welcome; this isn''t a \"test\".</p>\n<!-- /wp:paragraph -->', 'Hello world!', 'hello-world');
INSERT INTO wp_posts (post_author, post_date, post_content, post_title, post_status, post_name, post_type, post_parent) VALUES (1, '2026-05-02 11:00:00', '', 'Auto Draft', 'auto-draft', '', 'post', 0), (2, '2026-05-03 12:30:15', 'Ünïcödé 🐘', 'Page', 'publish', 'page', 'page', 0), (2, '2026-05-04 12:30:15', 'x', 'rev', 'inherit', '1-revision-v1', 'revision', 1);
INSERT INTO wp_posts (post_title) VALUES ('no content');
INSERT INTO wp_options (option_name, option_value, autoload) VALUES ('siteurl', 'https://example.org', 'yes'), ('blogname', 'A site', 'yes'), ('cron', 'a:2:{i:1;i:2;s:1:"k";s:5:"v;'';x";}', 'no') ON DUPLICATE KEY UPDATE option_name = VALUES(option_name), option_value = VALUES(option_value), autoload = VALUES(autoload);
INSERT INTO `wp_options` (`option_name`, `option_value`, `autoload`) VALUES ('blogname', 'Another', 'yes') ON DUPLICATE KEY UPDATE `option_value` = VALUES(`option_value`);
INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (1, '_edit_lock', '1775044800:1'), (1, '_thumbnail_id', '3'), (3, '_wp_page_template', 'default'), (3, 'price', '12.50'), (1, 'price', '9.99'), (2, NULL, NULL);
SELECT option_name, option_value FROM wp_options WHERE autoload = 'yes' ORDER BY option_name;
SELECT option_value FROM wp_options WHERE option_name = 'cron' LIMIT 1;
SELECT SQL_NO_CACHE COUNT(*) FROM wp_posts WHERE post_type = 'post' AND post_status = 'publish';
SELECT wp_posts.ID FROM wp_posts WHERE 1=1 AND wp_posts.post_type = 'post' AND ((wp_posts.post_status = 'publish' OR wp_posts.post_status = 'private')) ORDER BY wp_posts.post_date DESC LIMIT 0, 10;
SELECT post_id, meta_key, meta_value FROM wp_postmeta WHERE post_id IN (1,3) ORDER BY meta_id ASC;
SELECT p.*, m.meta_value AS price FROM wp_posts AS p LEFT JOIN wp_postmeta AS m ON (p.ID = m.post_id AND m.meta_key = 'price') ORDER BY CAST(m.meta_value AS DECIMAL(10,2)) DESC, p.ID;
SELECT post_status, COUNT( * ) AS num_posts FROM wp_posts GROUP BY post_status ORDER BY post_status;
SELECT YEAR(post_date) AS `year`, MONTH(post_date) AS `month`, count(ID) as posts FROM wp_posts GROUP BY YEAR(post_date), MONTH(post_date) ORDER BY 1 DESC, 2 DESC;
SELECT ID, post_title FROM wp_posts WHERE ((wp_posts.post_title LIKE '%o%') OR (wp_posts.post_content LIKE '%\%%')) ORDER BY ID;
UPDATE `wp_posts` SET `post_status` = 'trash', comment_count = comment_count + 1 WHERE `ID` = 2;
UPDATE wp_options SET option_value = '' WHERE option_name = 'blogname';
DELETE a, b FROM wp_posts a LEFT JOIN wp_postmeta b ON a.ID = b.post_id WHERE a.post_type = 'revision';
DELETE FROM wp_postmeta WHERE post_id NOT IN (SELECT ID FROM wp_posts);
SELECT * FROM wp_posts ORDER BY ID;
SELECT * FROM wp_postmeta ORDER BY meta_id;

-- params: ["mail", "{\"to\": \"ada@example.org\", \"n\": 1.0, \"big\": 12345678901234567890}", 1775044800, 1775044800]
INSERT INTO jobs (queue, payload, available_at, created_at) VALUES (?, ?, ?, ?);
INSERT INTO jobs (queue, payload, available_at, created_at) VALUES ('mail', '[]', 1, 1), ('default', '{"a": {"b": [1, {"c": null}]}}', 2, 2), ('mail', '"text"', 3, 3);
INSERT INTO jobs (queue, payload, available_at, created_at) VALUES ('bad', 'x', 1, 1);
INSERT INTO jobs (queue, payload, available_at, created_at) VALUES ('bad', '{}', -1, 1);
SELECT * FROM jobs WHERE queue = 'mail' AND reserved_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE;
UPDATE jobs SET reserved_at = 1775044801, attempts = attempts + 1 WHERE id = 1;
UPDATE jobs SET attempts = 300 WHERE id = 1;
SELECT id, attempts, payload, JSON_EXTRACT(payload, '$.to'), JSON_EXTRACT(payload, '$.big'), JSON_TYPE(JSON_EXTRACT(payload, '$.n')) FROM jobs ORDER BY id;
SELECT queue, COUNT(*) n, MIN(available_at), SUM(attempts) FROM jobs GROUP BY queue ORDER BY NULL;
DELETE FROM jobs WHERE queue = 'mail' ORDER BY available_at DESC LIMIT 1;

INSERT INTO samples VALUES (1, '2026-05-01 00:00:00.000', 20.5, b'1111', x'00'), (1, '2026-05-01 00:00:01.500', 20.75, b'0001', NULL), (12, '2026-05-01 00:00:00', -40, 15, 'raw'), (99, '2026-05-01 00:00:00', 1e-300, 0, ''), (99, '2026-05-01 00:00:00.001', -0.0, DEFAULT, x'ffffffffffffffff');
-- params: [7, {"temporal": "2026-05-02 01:02:03.456789"}, 0.1, 5, {"hex": "0001"}]
INSERT INTO samples (sensor, at, value, quality, raw) VALUES (?, ?, ?, ?, ?);
-- params: [7, "2026-05-02 01:02:04.4564", 3.0000000000000004, {"hex": "0f"}, "text"]
INSERT INTO samples (sensor, at, value, quality, raw) VALUES (?, ?, ?, ?, ?);
INSERT INTO samples (sensor, at, value) VALUES (1, '2026-05-01 00:00:00', 0);
INSERT INTO samples (sensor, at, value) VALUES (1, '2026-05-01 25:00:00', 0);
INSERT INTO samples (sensor, at, value) VALUES (40000, '2026-05-01', 0);
INSERT INTO samples (sensor, at, value, quality) VALUES (2, '2026-05-01', 0, 16);
INSERT INTO samples (sensor, at, value, raw) VALUES (2, '2026-05-01', 0, 'longer than 8');
SELECT * FROM samples ORDER BY sensor, at;
SELECT sensor, quality + 0, BIN(quality), HEX(raw) FROM samples ORDER BY sensor, at;
SELECT * FROM samples PARTITION (p1, p2) ORDER BY sensor, at;
SELECT sensor, COUNT(*), MIN(value), MAX(value), SUM(value) FROM samples GROUP BY sensor ORDER BY sensor;
SELECT FROM_UNIXTIME(FLOOR(UNIX_TIMESTAMP(at) / 60) * 60) AS minute, COUNT(*) FROM samples GROUP BY minute ORDER BY minute;
SELECT sensor, at, value - LAG(value) OVER (PARTITION BY sensor ORDER BY at) AS delta FROM samples ORDER BY sensor, at;
ALTER TABLE samples TRUNCATE PARTITION p1;
SELECT COUNT(*) FROM samples;

INSERT INTO accounts VALUES ('DE02120300000000202051', 'Ada', 100000, '2020-01-01'), ('DE02500105170137075030', 'Grace', 0, '2021-02-28');
INSERT INTO accounts VALUES ('DE02120300000000202051', 'again', 0, '2020-01-01');
UPDATE accounts SET cents = cents - 250000 WHERE owner = 'Grace';
UPDATE accounts SET cents = cents - 2500 WHERE owner = 'Ada';
INSERT INTO bookings (debit, credit, cents, booked, text) VALUES ('DE02120300000000202051', 'DE02500105170137075030', 2500, 2026, 'Miete / rent €');
INSERT INTO bookings (debit, credit, cents, booked) VALUES ('DE02120300000000202051', 'DE02500105170137075030', -5, 2026);
INSERT INTO bookings (debit, credit, cents, booked) VALUES ('DE02120300000000202051', 'DE02500105170137075030', 5, 1900);
INSERT INTO bookings (debit, credit, cents, booked) VALUES ('DE02120300000000202051', 'DE02500105170137075030', 18446744073709551615, '26');
INSERT INTO bookings (id, debit, credit, cents, booked) VALUES (1000000, 'DE02120300000000202051', 'DE00000000000000000000', 1, 2026);
DELETE FROM accounts WHERE owner = 'Ada';
SELECT * FROM bookings ORDER BY id;
SELECT a.owner, a.cents, COALESCE(SUM(b.cents), 0) AS paid FROM accounts a LEFT JOIN bookings b ON b.debit = a.iban GROUP BY a.iban, a.owner, a.cents ORDER BY a.owner;
SELECT SUM(cents) FROM bookings;
SELECT cents + 1 FROM bookings WHERE cents > 1000000;

INSERT INTO places VALUES (1, 'Café', ST_GeomFromText('POINT(14.42 50.09)'), NULL, '08:00', '17:30:00.25'), (2, 'CAFE', POINT(1, 2), ST_GeomFromText('POLYGON((0 0,4 0,4 4,0 4,0 0))'), '-01:00:00', '24:00:00');
SELECT id, name, ST_AsText(spot), ST_X(spot), spot, HEX(ST_AsBinary(spot)) FROM places ORDER BY id;
SELECT id, area, ST_AsText(area), opens, closes, TIMEDIFF(closes, opens) FROM places ORDER BY id;
SELECT id FROM places WHERE name = 'cafe' ORDER BY id;
SELECT a.id, b.id, ST_Distance(a.spot, b.spot) FROM places a JOIN places b ON a.id < b.id;
SELECT id FROM places WHERE ST_Contains(ST_GeomFromText('POLYGON((0 0,4 0,4 4,0 4,0 0))'), spot);
INSERT INTO places VALUES (3, 'Nowhere', ST_GeomFromText('POINT(1)'), NULL, NULL, NULL);
INSERT INTO places VALUES (3, 'Nowhere', 'POINT(1 1)', NULL, NULL, NULL);
INSERT INTO places (id, name, spot, opens) VALUES (4, 'Late', POINT(3, 3), '839:00:00');

INSERT INTO odd VALUES (1, 'two', 3, 4.5, 6), (NULL, NULL, NULL, NULL, NULL);
SELECT * FROM odd ORDER BY 1;
SELECT `select`, `a b`, `back``tick`, `größe`, `?`, odd.`größe` AS `as "größe"` FROM odd WHERE `select` = 1;
-- params: [1, "x"]
SELECT `?`, ?, '?', "?" FROM odd WHERE `select` = 1 AND ? <> '?';
SELECT 'a' 'b' AS `x`, "c" "d", N'e', _utf8mb4'f', _binary'g', x'68', 0x69, b'1101010', 0b1101011, .5, 5., 1e3, -1, +1, NULL, TRUE, FALSE;
SELECT 1 AS a, 1 AS a, 'x' AS '', 2 AS ` b`, 3 AS `it's`, 'long' AS `a name that is as long as a name of a column may be, or so it seems`;
INSERT INTO t_no_key VALUES (1, 'aé', 'abc', 'blob', 'text', 1.5, 12345, TRUE, 1234.5678, 42), (2, NULL, NULL, NULL, NULL, NULL, NULL, FALSE, NULL, NULL);
INSERT INTO t_no_key (c) VALUES ('é');
INSERT INTO t_no_key (g) VALUES (123456);
INSERT INTO t_no_key (g) VALUES (12345.6);
INSERT INTO t_no_key (i) VALUES (99999.9999);
SELECT * FROM t_no_key ORDER BY a, b;
SELECT a, b = 'AÉ', i * 2, j + 1, f / 0 FROM t_no_key ORDER BY a, b;
UPDATE t_no_key SET a = a + 1, b = a;
SELECT a, b FROM t_no_key ORDER BY a, b;

SELECT 1 + 1, 1 / 3, 2 / 3.000, 7 DIV 2, 7 % 3, -7 % 3, 5 / 0, 1e308 * 10, 0.1 + 0.2, 0.1e0 + 0.2e0;
SELECT 9223372036854775807, 9223372036854775808, 18446744073709551615, 18446744073709551616, -9223372036854775808, -9223372036854775809;
SELECT CAST(-1 AS UNSIGNED), CAST('18446744073709551616' AS UNSIGNED), CAST(1e20 AS SIGNED), CAST(-1.5 AS DECIMAL(3)), CAST('1.55' AS DECIMAL(3,1));
SELECT ~0, ~1, 1 << 63, 1 << 64, -1 >> 1, 5 & 3, 5 | 3, 5 ^ 3, BIT_COUNT(255);
SELECT 'a' = 'A', 'a' = 'a ', BINARY 'a' = 'A', 'ä' = 'a', 'ss' = 'ß', '1' = 1, 'x' = 0, NULL = NULL, NULL <=> NULL;
SELECT '2026-05-01' + INTERVAL 1 DAY, DATE '2026-05-31' + INTERVAL 1 MONTH, TIMESTAMP '2026-01-01 00:00:00' - INTERVAL 1 MICROSECOND, TIME '10:00:00' + INTERVAL 90 SECOND;
SELECT CAST('2026-05-01 10:11:12.987654' AS DATETIME), CAST('2026-05-01 10:11:12.987654' AS DATETIME(3)), CAST('10:11:12.987654' AS TIME(1)), CAST(20260501 AS DATE), CAST('nonsense' AS DATE);
SELECT CONCAT('a', NULL), CONCAT(1, 2.5, x'41'), REPEAT('ab', 3), LPAD('7', 3, '0'), TRIM(BOTH 'x' FROM 'xxaxx'), SUBSTRING_INDEX('a.b.c', '.', -2), REVERSE('äbc'), FIELD('b', 'a', 'b'), ELT(2, 'a', 'b');
SELECT HEX('ä'), UNHEX('c3a4'), CONVERT('ä' USING latin1), HEX(CONVERT('ä' USING latin1)), CHAR(228 USING latin1), ORD('ä'), ASCII('ä'), CHAR_LENGTH('ä'), LENGTH('ä');
SELECT CONVERT(_latin1 x'e4' USING utf8mb4), _utf8mb4 x'c3a4', _latin1 x'e4', HEX(_utf16 x'00e4'), CHARSET(_latin1 'a'), COLLATION('a');
SELECT INTERVAL(3, 1, 2, 4), GREATEST(1, 2.5, '3'), LEAST('b', 'a'), NULLIF(1, 1), IFNULL(NULL, 'x'), COALESCE(NULL, NULL), IF(NULL, 1, 2), ISNULL(NULL);
SELECT JSON_OBJECT('a', 1, 'b', JSON_ARRAY(1.5, 'x', NULL, TRUE)), JSON_MERGE_PATCH('{"a": 1}', '{"a": null, "b": 2}'), JSON_KEYS('{"x": 1, "y": 2}'), JSON_SEARCH('["a", "b"]', 'one', 'b');
SELECT CRC32('x'), SHA2('x', 256), TO_BASE64('x y z'), FROM_BASE64('eCB5IHo='), INET_ATON('10.0.0.1'), INET_NTOA(167772161), HEX(INET6_ATON('::1')), INET6_NTOA(INET6_ATON('2001:db8::1'));
SELECT WEEK('2026-01-01', 0), WEEK('2026-01-01', 3), YEARWEEK('2026-12-31'), DAYOFWEEK('2026-05-01'), LAST_DAY('2024-02-01'), MAKEDATE(2026, 60), MAKETIME(25, 61, 1), SEC_TO_TIME(3020399), STR_TO_DATE('1,5,2026', '%d,%m,%Y');
SELECT ROUND(2.5), ROUND(-2.5), ROUND(2.5e0), ROUND(1234.567, -2), TRUNCATE(-1.999, 1), CEILING(-1.5), FLOOR(-1.5), FORMAT(1234567.891, 2), CONV('ff', 16, 10), POW(2, 0.5), SQRT(-1), LN(0), EXP(1);
SELECT REGEXP_REPLACE('a1b22', '[0-9]+', '#'), REGEXP_SUBSTR('a1b22', '[0-9]{2}'), REGEXP_INSTR('a1b22', 'b'), 'abc' REGEXP '^a.c$', 'a\nb' LIKE 'a%b', 'a_b' LIKE 'a\_b', 'x' IN ('y', NULL);
SELECT 1 FROM DUAL WHERE 1 = 0;
SELECT 1 WHERE 1 = 1;
SELECT (1, 2) = (1, 2), (1, 2) < (1, 3), ROW(1, 2) IN (ROW(1, 2), ROW(3, 4));
SELECT 1 AS a UNION SELECT 2.5 UNION SELECT 'x' UNION SELECT NULL ORDER BY 1;
SELECT NULL UNION ALL SELECT 1;
SELECT x'00', x'', '', NULL, b'', 0x00 + 0;
VALUES ROW(1, 'a', NULL), ROW(2, 'b', 3.5);
SELECT SLEEP(0), BENCHMARK(10, 1 + 1);
DO 1 + 1;
DROP TABLE places, odd;
