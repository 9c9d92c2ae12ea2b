-- A shop, as web applications and their object mappers write it.  One statement ends with a
-- semicolon at the end of a line; "-- params: [...]" before one gives its parameters as JSON.

CREATE TABLE countries (code CHAR(2) NOT NULL PRIMARY KEY, name VARCHAR(60) NOT NULL, vat DECIMAL(5,2) NOT NULL DEFAULT 0.00);
CREATE TABLE users (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, email VARCHAR(190) NOT NULL, password_hash VARBINARY(60) NULL, first_name VARCHAR(50), last_name VARCHAR(50), country CHAR(2), is_admin TINYINT(1) NOT NULL DEFAULT 0, balance DECIMAL(12,2) NOT NULL DEFAULT '0.00', settings JSON, created_at DATETIME(6) NOT NULL, updated_at DATETIME(6) NULL, deleted_at DATETIME NULL, PRIMARY KEY (id), UNIQUE KEY users_email_unique (email), KEY users_country (country), CONSTRAINT users_country_fk FOREIGN KEY (country) REFERENCES countries (code) ON UPDATE CASCADE);
CREATE TABLE categories (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, parent_id INT UNSIGNED NULL, slug VARCHAR(80) NOT NULL, title VARCHAR(120) NOT NULL, position SMALLINT NOT NULL DEFAULT 0, UNIQUE KEY slug (slug), CONSTRAINT categories_parent FOREIGN KEY (parent_id) REFERENCES categories (id) ON DELETE CASCADE);
CREATE TABLE products (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, sku VARCHAR(32) NOT NULL, name VARCHAR(200) NOT NULL, description TEXT, price DECIMAL(10,2) NOT NULL, weight_g INT UNSIGNED, stock INT NOT NULL DEFAULT 0, tags SET('new','sale','eco','gift') NOT NULL DEFAULT '', state ENUM('draft','active','retired') NOT NULL DEFAULT 'draft', attributes JSON, added DATE NOT NULL, rating FLOAT, UNIQUE KEY sku (sku), KEY price (price), KEY state_added (state, added), FULLTEXT KEY words (name, description), CONSTRAINT stock_is_there CHECK (stock >= 0));
CREATE TABLE product_categories (product_id INT UNSIGNED NOT NULL, category_id INT UNSIGNED NOT NULL, PRIMARY KEY (product_id, category_id), KEY category_id (category_id), CONSTRAINT pc_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE, CONSTRAINT pc_category FOREIGN KEY (category_id) REFERENCES categories (id) ON DELETE CASCADE);
CREATE TABLE orders (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL, number CHAR(12) NOT NULL, status ENUM('cart','placed','paid','shipped','cancelled') NOT NULL DEFAULT 'cart', total DECIMAL(14,4) NOT NULL DEFAULT 0, currency CHAR(3) NOT NULL DEFAULT 'EUR', placed_at TIMESTAMP(3) NULL DEFAULT NULL, note VARCHAR(255), UNIQUE KEY number (number), KEY user_status (user_id, status), CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id));
CREATE TABLE order_items (order_id BIGINT UNSIGNED NOT NULL, line SMALLINT UNSIGNED NOT NULL, product_id INT UNSIGNED NULL, quantity INT UNSIGNED NOT NULL, unit_price DECIMAL(10,2) NOT NULL, discount_percent DECIMAL(4,1) NOT NULL DEFAULT 0, PRIMARY KEY (order_id, line), CONSTRAINT items_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE, CONSTRAINT items_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE SET NULL);
CREATE TABLE payments (id BINARY(16) NOT NULL PRIMARY KEY, order_id BIGINT UNSIGNED NOT NULL, amount DECIMAL(14,4) NOT NULL, method VARCHAR(20) NOT NULL, raw MEDIUMBLOB, created_at DATETIME NOT NULL, KEY order_id (order_id));
CREATE TABLE sessions (token CHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, user_id BIGINT UNSIGNED NULL, data LONGTEXT, ip VARBINARY(16), last_seen INT UNSIGNED NOT NULL, KEY last_seen (last_seen));
CREATE TABLE counters (name VARCHAR(64) NOT NULL PRIMARY KEY, value BIGINT NOT NULL DEFAULT 0) ENGINE=InnoDB COMMENT='numbers that only grow';
CREATE INDEX orders_placed ON orders (placed_at);
ALTER TABLE users ADD COLUMN phone VARCHAR(32) NULL AFTER email, ADD INDEX users_created (created_at);
ALTER TABLE products ADD COLUMN price_with_vat DECIMAL(12,4) GENERATED ALWAYS AS (price * 1.19) STORED;
CREATE VIEW order_totals AS SELECT o.id, o.number, SUM(i.quantity * i.unit_price * (1 - i.discount_percent / 100)) AS total, COUNT(*) AS order_lines FROM orders AS o JOIN order_items AS i ON i.order_id = o.id GROUP BY o.id, o.number;
CREATE VIEW active_products AS SELECT id, sku, name, price, stock FROM products WHERE state = 'active';
CREATE PROCEDURE orders_of(IN who BIGINT) SELECT id, number, status FROM orders WHERE user_id = who ORDER BY id;
CREATE PROCEDURE touch_user(IN who BIGINT, IN moment DATETIME(6)) UPDATE users SET updated_at = moment WHERE id = who;
CREATE FUNCTION net_of(gross DECIMAL(12,4), vat DECIMAL(5,2)) RETURNS DECIMAL(12,4) DETERMINISTIC RETURN gross / (1 + vat / 100);
CREATE TRIGGER items_positive BEFORE INSERT ON order_items FOR EACH ROW SET NEW.quantity = GREATEST(NEW.quantity, 1);

INSERT INTO countries (code, name, vat) VALUES ('DE', 'Deutschland', 19.00), ('AT', 'Österreich', 20.00), ('CZ', 'Česko', 21.00), ('JP', '日本', 10.00), ('US', 'United States', DEFAULT);
INSERT INTO countries VALUES ('FR', 'France', 20);
INSERT INTO countries SET code = 'IS', name = 'Ísland', vat = 24;
INSERT INTO countries (code, name) VALUES ('DE', 'again');
INSERT IGNORE INTO countries (code, name) VALUES ('DE', 'again'), ('NL', 'Nederland');
INSERT INTO countries (code, name, vat) VALUES ('XX', NULL, 1);
INSERT INTO countries (code, name, vat) VALUES ('XXX', 'too long', 1);
INSERT INTO countries (code, name, vat) VALUES ('YY', 'out of range', 1234.5);
INSERT INTO countries (code, name, vat) VALUES ('YZ', 'rounded', 12.345);
-- params: ["ada@example.org", "Ada", "Lovelace", "DE", "2026-01-02 03:04:05.678901", "{\"theme\": \"dark\", \"tags\": [1, 2]}"]
INSERT INTO users (email, first_name, last_name, country, created_at, settings) VALUES (?, ?, ?, ?, ?, ?);
-- params: ["grace@example.org", "Grace", "Hopper", "US", "2026-01-03 00:00:00"]
INSERT INTO users (email, first_name, last_name, country, created_at) VALUES (?, ?, ?, ?, ?);
-- params: ["edsger@example.org", "Edsger", "Dijkstra", "NL", {"temporal": "2026-02-28 23:59:59.999999"}]
INSERT INTO users (email, first_name, last_name, country, created_at) VALUES (?, ?, ?, ?, ?);
-- params: ["haskell@example.org", "Haskell", null, null, {"temporal": "2026-03-01 00:00:00"}, {"decimal": "1234.56"}]
INSERT INTO users (email, first_name, last_name, country, created_at, balance) VALUES (?, ?, ?, ?, ?, ?);
INSERT INTO users (email, first_name, country, created_at) VALUES ('zoë@example.org', 'Zoë 🐌', 'CZ', '2026-03-04'), ('o''neil@example.org', 'O''Neil', 'US', '2026-03-05 10:11'), ('back\\slash@example.org', 'a\tb\nc', NULL, '2026-03-06 10:11:12.5');
INSERT INTO users (email, created_at) VALUES ('ada@example.org', '2026-01-01');
INSERT INTO users (email, country, created_at) VALUES ('nowhere@example.org', 'QQ', '2026-01-01');
INSERT INTO users (email) VALUES ('no-date@example.org');
INSERT INTO users (email, created_at) VALUES ('bad-date@example.org', '2026-02-30');
INSERT INTO users (email, created_at, settings) VALUES ('bad-json@example.org', '2026-02-03', '{"open": ');
INSERT INTO users (email, created_at, balance) VALUES ('not-a-number@example.org', '2026-02-03', 'much');
INSERT INTO categories (parent_id, slug, title, position) VALUES (NULL, 'books', 'Books', 1), (NULL, 'music', 'Music', 2), (NULL, 'tools', 'Tools', 3);
INSERT INTO categories (parent_id, slug, title) SELECT id, CONCAT(slug, '-used'), CONCAT(title, ' (used)') FROM categories ORDER BY id;
INSERT INTO categories (parent_id, slug, title) VALUES (1, 'books-computing', 'Computing'), (7, 'books-computing-theory', 'Theory'), (8, 'books-computing-theory-types', 'Types');
INSERT INTO categories (parent_id, slug, title) VALUES (4711, 'orphan', 'Orphan');
INSERT INTO products (sku, name, description, price, weight_g, stock, tags, state, attributes, added, rating) VALUES ('B-001', 'A Discipline of Programming', 'On the derivation of programs', 59.90, 480, 12, 'gift', 'active', '{"pages": 217, "isbn": "013215871X", "authors": ["Dijkstra"]}', '2026-01-10', 4.75), ('B-002', 'The Art of Computer Programming', 'Volumes one to four', 249.00, 6100, 3, 'gift,sale', 'active', '{"pages": 3168, "authors": ["Knuth"], "volumes": 4}', '2026-01-11', 4.9), ('M-001', 'Kind of Blue', NULL, 12.99, 120, 40, '', 'active', '{"tracks": 5, "year": 1959}', '2026-01-12', 4.95), ('T-001', 'Hammer', 'Drives nails', 18.5, 900, 0, 'new', 'active', NULL, '2026-02-01', NULL), ('T-002', 'Glue', 'Sticks; even "this"', 3.10, 55, 200, 'new,eco', 'draft', '[]', '2026-02-02', 3.3333333), ('X-000', 'Nothing', '', 0, NULL, 0, '', 'retired', 'null', '1999-12-31', -0.0);
INSERT INTO products (sku, name, price, added) VALUES ('B-001', 'the same number', 1, '2026-01-01');
INSERT INTO products (sku, name, price, stock, added) VALUES ('N-001', 'negative', 1, -1, '2026-01-01');
INSERT INTO products (sku, name, price, state, added) VALUES ('N-002', 'no such state', 1, 'sold', '2026-01-01');
INSERT INTO products (sku, name, price, tags, added) VALUES ('N-003', 'no such tag', 1, 'new,red', '2026-01-01');
INSERT INTO products (sku, name, price, price_with_vat, added) VALUES ('N-004', 'made by hand', 1, 2, '2026-01-01');
INSERT IGNORE INTO products (sku, name, price, state, added) VALUES ('N-005', 'ignored', 'x', 'sold', '2026-13-01');
DELETE FROM products WHERE sku = 'N-005';
INSERT INTO product_categories VALUES (1, 1), (1, 7), (2, 1), (2, 8), (3, 2), (4, 3), (5, 3), (5, 6);
INSERT INTO product_categories VALUES (1, 1);
INSERT INTO orders (user_id, number, status, placed_at) VALUES (1, '2026-0000001', 'placed', '2026-04-01 12:00:00.125'), (1, '2026-0000002', 'cart', NULL), (2, '2026-0000003', 'paid', '2026-04-02 08:30:00'), (3, '2026-0000004', 'shipped', '2026-04-03 23:59:59.999');
INSERT INTO orders (user_id, number) VALUES (999, '2026-0000005');
INSERT INTO orders (user_id, number) VALUES (1, '2026-0000001');
INSERT INTO order_items (order_id, line, product_id, quantity, unit_price, discount_percent) VALUES (1, 1, 1, 1, 59.90, 0), (1, 2, 3, 2, 12.99, 10), (2, 1, 5, 10, 3.10, 0), (3, 1, 2, 1, 249.00, 12.5), (4, 1, 4, 0, 18.50, 0), (4, 2, 3, 1, 12.99, 0);
INSERT INTO order_items (order_id, line, product_id, quantity, unit_price) VALUES (1, 1, 1, 1, 1);
INSERT INTO order_items (order_id, line, product_id, quantity, unit_price) VALUES (1, 3, 77, 1, 1);
INSERT INTO order_items (order_id, line, quantity, unit_price) VALUES (1, 4, -1, 1);
-- params: [{"hex": "00112233445566778899aabbccddeeff"}, 1, {"decimal": "83.2820"}, "card", {"hex": "00ff277c5c0d0a1a"}]
INSERT INTO payments (id, order_id, amount, method, raw, created_at) VALUES (?, ?, ?, ?, ?, '2026-04-01 12:00:01');
-- params: [{"hex": "ffeeddccbbaa99887766554433221100"}, 3, {"decimal": "217.875"}, "transfer", null]
INSERT INTO payments (id, order_id, amount, method, raw, created_at) VALUES (?, ?, ?, ?, ?, '2026-04-02 09:00:00');
INSERT INTO counters VALUES ('visits', 1) ON DUPLICATE KEY UPDATE value = value + 1;
INSERT INTO counters VALUES ('visits', 1) ON DUPLICATE KEY UPDATE value = value + 1;
INSERT INTO counters (name, value) VALUES ('visits', 10), ('orders', 4) ON DUPLICATE KEY UPDATE value = value + VALUES(value);
INSERT INTO counters (name, value) VALUES ('visits', 0) ON DUPLICATE KEY UPDATE value = value;
REPLACE INTO counters (name, value) VALUES ('visits', 100);
REPLACE INTO counters (name, value) VALUES ('users', 7);
REPLACE INTO counters SET name = 'visits', value = value + 1;
-- params: ["9b74c9897bac770ffc029102a200c5de9b74c989", 1, "a:1:{s:4:\"cart\";i:2;}", {"hex": "7f000001"}, 1775044800]
INSERT INTO sessions (token, user_id, data, ip, last_seen) VALUES (?, ?, ?, ?, ?);
-- params: ["9b74c9897bac770ffc029102a200c5de9b74c989", 1, "x", null, 1775044900]
INSERT INTO sessions (token, user_id, data, ip, last_seen) VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE data = VALUES(data), last_seen = VALUES(last_seen);
INSERT INTO sessions (token, data, last_seen) VALUES ('naïve', 'x', 1);

-- Reading one, reading some.
-- params: [1]
SELECT * FROM users WHERE users.id = ? LIMIT 1;
-- params: ["ada@example.org"]
SELECT `users`.* FROM `users` WHERE `users`.`email` = ? AND `users`.`deleted_at` IS NULL ORDER BY `users`.`id` ASC LIMIT 1;
-- params: ["ADA@EXAMPLE.ORG"]
SELECT id, email FROM users WHERE email = ?;
SELECT `users`.`id`, `users`.`first_name` FROM `users` WHERE (`users`.`country` IN ('DE', 'US') AND NOT (`users`.`last_name` IS NULL)) ORDER BY `users`.`last_name` ASC;
-- params: ["%e%", 10, 0]
SELECT id, first_name FROM users WHERE first_name LIKE ? ORDER BY id LIMIT ? OFFSET ?;
-- params: [3]
SELECT id FROM users ORDER BY id DESC LIMIT ?;
SELECT COUNT(*) FROM users;
SELECT COUNT(*) AS aggregate FROM `users` WHERE `country` IS NULL;
SELECT COUNT(country), COUNT(DISTINCT country), COUNT(*) FROM users;
SELECT EXISTS(SELECT 1 FROM users WHERE email = 'ada@example.org') AS `exists`;
SELECT 1 AS one FROM users WHERE users.email = 'nobody@example.org' LIMIT 1;
SELECT (1) AS `a` FROM `users` WHERE `users`.`id` = 1 LIMIT 1;
SELECT first_name, last_name, CONCAT_WS(' ', first_name, last_name) AS full_name FROM users ORDER BY id;
SELECT IFNULL(last_name, '(none)') AS last_name, COALESCE(country, '--') FROM users ORDER BY id;
SELECT UPPER(first_name), LOWER(email), CHAR_LENGTH(first_name), LENGTH(first_name) FROM users ORDER BY id;
SELECT id, created_at, DATE(created_at), TIME(created_at), YEAR(created_at), MONTHNAME(created_at) FROM users ORDER BY id;
SELECT id, DATE_FORMAT(created_at, '%d.%m.%Y %H:%i:%s.%f') AS formatted FROM users ORDER BY id;
SELECT DATE_ADD(created_at, INTERVAL 1 MONTH), created_at - INTERVAL 90 MINUTE FROM users ORDER BY id;
SELECT DATEDIFF('2026-12-31', created_at), TIMESTAMPDIFF(HOUR, created_at, '2026-12-31') FROM users ORDER BY id;
SELECT id, balance, balance * 1.19, balance / 3, ROUND(balance / 3, 2), -balance, balance % 7, balance DIV 7 FROM users ORDER BY id;
SELECT settings, settings->'$.theme' FROM users WHERE id = 1;
SELECT JSON_UNQUOTE(JSON_EXTRACT(settings, '$.theme')) AS theme, JSON_LENGTH(settings, '$.tags') FROM users WHERE id = 1;
-- on: mysql
SELECT settings->'$.theme', settings->>'$.theme', settings->'$.tags[0]' FROM users WHERE id = 1;
SELECT id FROM users WHERE JSON_EXTRACT(settings, '$.theme') = 'dark';
SELECT JSON_ARRAYAGG(code), JSON_OBJECTAGG(code, vat) FROM (SELECT code, vat FROM countries ORDER BY code) AS c;
SELECT * FROM countries ORDER BY name;
SELECT * FROM countries ORDER BY name COLLATE utf8mb4_bin;
SELECT code FROM countries WHERE name > 'M' ORDER BY code;
SELECT code, name FROM countries WHERE name LIKE 'ö%' OR name LIKE '%land' ORDER BY code;
SELECT code FROM countries WHERE name REGEXP '^[A-F]' ORDER BY code;
-- params: ["DE", "CZ"]
SELECT * FROM countries WHERE code IN (?, ?) ORDER BY code;
SELECT * FROM countries WHERE vat BETWEEN 10 AND 20 ORDER BY vat DESC, code;
SELECT MIN(vat), MAX(vat), AVG(vat), SUM(vat), COUNT(*) FROM countries;
SELECT vat, GROUP_CONCAT(code ORDER BY code SEPARATOR '/') FROM countries GROUP BY vat ORDER BY vat;
SELECT DISTINCT vat FROM countries ORDER BY vat;
SELECT c.name, COUNT(u.id) AS n FROM countries c LEFT JOIN users u ON u.country = c.code GROUP BY c.code, c.name HAVING n > 0 ORDER BY n DESC, c.code;
SELECT u.first_name, c.name FROM users u INNER JOIN countries c ON c.code = u.country ORDER BY u.id;
SELECT u.first_name, c.name FROM users AS u RIGHT OUTER JOIN countries AS c ON (c.code = u.country) ORDER BY c.code, u.id;
SELECT u.id, c.code FROM users u CROSS JOIN countries c WHERE u.id = 1 ORDER BY c.code;
SELECT a.email, b.email FROM users a, users b WHERE a.id < b.id AND a.country = b.country ORDER BY a.id, b.id;
SELECT * FROM products NATURAL JOIN product_categories WHERE id = product_id ORDER BY product_id, category_id;
SELECT p.name, GROUP_CONCAT(c.title ORDER BY c.title SEPARATOR ', ') AS categories FROM products p JOIN product_categories pc ON pc.product_id = p.id JOIN categories c ON c.id = pc.category_id GROUP BY p.id, p.name ORDER BY p.id;
SELECT * FROM products ORDER BY id;
SELECT id, name, price FROM products WHERE state = 'active' AND price BETWEEN 10 AND 100 ORDER BY price DESC;
SELECT id, tags, tags + 0, state, state + 0 FROM products ORDER BY id;
SELECT id FROM products WHERE FIND_IN_SET('new', tags) ORDER BY id;
SELECT id FROM products WHERE tags & 2 ORDER BY id;
SELECT id, rating, rating * 2, ROUND(rating, 1), FORMAT(rating, 3) FROM products ORDER BY id;
SELECT id, attributes, JSON_TYPE(attributes), JSON_VALID(attributes) FROM products ORDER BY id;
SELECT id, JSON_EXTRACT(attributes, '$.authors[0]') AS author FROM products ORDER BY id;
SELECT id FROM products WHERE JSON_CONTAINS(attributes, '"Knuth"', '$.authors') ORDER BY id;
SELECT p.id, t.author FROM products AS p, JSON_TABLE(p.attributes, '$.authors[*]' COLUMNS (author VARCHAR(50) PATH '$')) AS t WHERE p.id < 3 ORDER BY p.id;
SELECT name, MATCH (name, description) AGAINST ('programming') AS score FROM products WHERE MATCH (name, description) AGAINST ('programming') ORDER BY id;
SELECT name FROM products WHERE MATCH (name, description) AGAINST ('+programming -art' IN BOOLEAN MODE) ORDER BY id;
SELECT id, CASE state WHEN 'active' THEN 'on sale' WHEN 'draft' THEN 'soon' ELSE 'gone' END AS availability FROM products ORDER BY id;
SELECT id, IF(stock > 0, 'in stock', 'sold out') FROM products ORDER BY id;
SELECT SUM(CASE WHEN stock = 0 THEN 1 ELSE 0 END) AS sold_out, SUM(stock * price) AS worth FROM products;
SELECT state, COUNT(*) AS n, SUM(stock), AVG(price), MIN(added), MAX(added) FROM products GROUP BY state ORDER BY state;
SELECT state, COUNT(*) FROM products GROUP BY state WITH ROLLUP;
SELECT YEAR(added) AS y, MONTH(added) AS m, COUNT(*) FROM products GROUP BY y, m ORDER BY y, m;
SELECT * FROM active_products ORDER BY id;
SELECT * FROM order_totals ORDER BY id;
SELECT o.id, (SELECT COUNT(*) FROM order_items i WHERE i.order_id = o.id) AS items FROM orders o ORDER BY o.id;
SELECT * FROM orders o WHERE EXISTS (SELECT * FROM order_items i WHERE i.order_id = o.id AND i.quantity > 1) ORDER BY o.id;
SELECT id FROM users WHERE id NOT IN (SELECT user_id FROM orders) ORDER BY id;
SELECT id FROM users u WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id) ORDER BY id;
SELECT * FROM products WHERE price > (SELECT AVG(price) FROM products) ORDER BY id;
SELECT * FROM products WHERE price >= ALL (SELECT price FROM products);
SELECT x.user_id, x.n FROM (SELECT user_id, COUNT(*) AS n FROM orders GROUP BY user_id) AS x WHERE x.n > 1;
SELECT o.number, u.email, i.line, p.name, i.quantity, i.unit_price, i.quantity * i.unit_price AS amount FROM orders o JOIN users u ON u.id = o.user_id JOIN order_items i ON i.order_id = o.id LEFT JOIN products p ON p.id = i.product_id ORDER BY o.id, i.line;
SELECT `orders`.*, `users`.`email` AS `user_email` FROM `orders` INNER JOIN `users` ON `users`.`id` = `orders`.`user_id` WHERE `orders`.`status` IN ('placed', 'paid') ORDER BY `orders`.`placed_at` DESC, `orders`.`id` ASC LIMIT 25 OFFSET 0;
SELECT status, COUNT(*) AS n, SUM(total) FROM orders WHERE placed_at >= '2026-04-01' AND placed_at < '2026-05-01' GROUP BY status ORDER BY n DESC, status;
SELECT DATE(placed_at) AS day, COUNT(*) FROM orders WHERE placed_at IS NOT NULL GROUP BY DATE(placed_at) ORDER BY day;
SELECT HEX(id), amount, method, HEX(raw), created_at FROM payments ORDER BY created_at;
SELECT id, raw FROM payments ORDER BY created_at;
-- params: [{"hex": "00112233445566778899aabbccddeeff"}]
SELECT order_id FROM payments WHERE id = ?;
SELECT order_id FROM payments WHERE id = x'ffeeddccbbaa99887766554433221100';
SELECT token, user_id, data, ip FROM sessions ORDER BY token;
SELECT * FROM sessions WHERE last_seen < 1775044850;
SELECT (SELECT value FROM counters WHERE name = 'visits') + (SELECT value FROM counters WHERE name = 'orders') AS together;
-- kind: write
SELECT net_of(119.00, 19.00), net_of(price_with_vat, 19) FROM products WHERE id = 1;

-- Trees, windows, sets.
WITH RECURSIVE tree (id, title, depth, path) AS (SELECT id, title, 0, CAST(slug AS CHAR(500)) FROM categories WHERE parent_id IS NULL UNION ALL SELECT c.id, c.title, t.depth + 1, CONCAT(t.path, '/', c.slug) FROM categories c JOIN tree t ON c.parent_id = t.id) SELECT * FROM tree ORDER BY path;
WITH RECURSIVE up AS (SELECT id, parent_id, title FROM categories WHERE slug = 'books-computing-theory-types' UNION ALL SELECT c.id, c.parent_id, c.title FROM categories c JOIN up ON c.id = up.parent_id) SELECT title FROM up;
WITH RECURSIVE days (d) AS (SELECT DATE '2026-04-01' UNION ALL SELECT d + INTERVAL 1 DAY FROM days WHERE d < '2026-04-07') SELECT days.d, COUNT(o.id) FROM days LEFT JOIN orders o ON DATE(o.placed_at) = days.d GROUP BY days.d ORDER BY days.d;
WITH totals AS (SELECT order_id, SUM(quantity * unit_price) AS total FROM order_items GROUP BY order_id) SELECT o.number, t.total, RANK() OVER (ORDER BY t.total DESC) AS place FROM orders o JOIN totals t ON t.order_id = o.id ORDER BY place, o.number;
SELECT id, price, ROW_NUMBER() OVER (ORDER BY price DESC, id) AS n, SUM(price) OVER (ORDER BY id) AS running FROM products ORDER BY id;
SELECT state, id, price, AVG(price) OVER (PARTITION BY state) AS average, price - AVG(price) OVER (PARTITION BY state) AS off FROM products ORDER BY state, id;
SELECT id, price, LAG(price) OVER w AS before_it, LEAD(price, 1, 0) OVER w AS after_it, FIRST_VALUE(name) OVER w AS first FROM products WINDOW w AS (ORDER BY price, id) ORDER BY price, id;
SELECT * FROM (SELECT user_id, number, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY id DESC) AS rn FROM orders) AS ranked WHERE rn = 1 ORDER BY user_id;
SELECT NTILE(4) OVER (ORDER BY id) AS quartile, id FROM users ORDER BY id;
SELECT id, SUM(stock) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), COUNT(*) OVER (ORDER BY price RANGE BETWEEN 10 PRECEDING AND 10 FOLLOWING) FROM products ORDER BY id;
SELECT email AS who FROM users WHERE country = 'US' UNION SELECT name FROM countries WHERE code = 'US' ORDER BY who;
SELECT 'user' AS kind, COUNT(*) AS n FROM users UNION ALL SELECT 'order', COUNT(*) FROM orders UNION ALL SELECT 'product', COUNT(*) FROM products;
(SELECT id FROM products ORDER BY price DESC LIMIT 2) UNION (SELECT id FROM products ORDER BY price LIMIT 2) ORDER BY id;
SELECT country FROM users INTERSECT SELECT code FROM countries ORDER BY country;
SELECT code FROM countries EXCEPT SELECT country FROM users ORDER BY code;
SELECT id, name FROM products UNION SELECT id FROM users;

-- Changing.
-- params: ["+49 30 1234", {"temporal": "2026-05-01 08:00:00.000001"}, 1]
UPDATE users SET phone = ?, updated_at = ? WHERE id = ?;
-- params: ["+49 30 1234", {"temporal": "2026-05-01 08:00:00.000001"}, 1]
UPDATE users SET phone = ?, updated_at = ? WHERE id = ?;
UPDATE `users` SET `balance` = `balance` + 10.005, `updated_at` = '2026-05-02 00:00:00' WHERE `users`.`id` IN (1, 2, 3);
UPDATE users SET balance = balance / 0 WHERE id = 1;
UPDATE users SET balance = 99999999999.99 WHERE id = 1;
UPDATE users SET email = 'grace@example.org' WHERE id = 1;
UPDATE users SET country = 'ZZ' WHERE id = 1;
UPDATE users SET created_at = NULL WHERE id = 1;
UPDATE users SET is_admin = NOT is_admin WHERE id = 2;
UPDATE users SET is_admin = 1000 WHERE id = 2;
UPDATE users SET first_name = CONCAT(first_name, '!') ORDER BY id DESC LIMIT 2;
UPDATE users SET settings = JSON_SET(COALESCE(settings, '{}'), '$.theme', 'light', '$.n', 7) WHERE id <= 2;
UPDATE users SET deleted_at = '2026-06-01 00:00:00' WHERE email = 'zoë@example.org';
UPDATE users SET nothing = 1;
UPDATE countries SET code = 'UK' WHERE code = 'US';
UPDATE countries SET vat = vat + 1 WHERE vat < 15;
UPDATE products SET stock = stock - 1 WHERE id = 1 AND stock > 0;
UPDATE products SET stock = stock - 1 WHERE id = 4;
UPDATE products SET state = 'retired', tags = CONCAT_WS(',', tags, 'sale') WHERE sku = 'T-002';
UPDATE IGNORE products SET sku = 'B-001' WHERE sku = 'B-002';
UPDATE products p JOIN product_categories pc ON pc.product_id = p.id SET p.price = ROUND(p.price * 1.1, 2) WHERE pc.category_id = 3;
UPDATE products, (SELECT AVG(price) AS average FROM products) AS a SET products.rating = a.average / 10 WHERE products.rating IS NULL;
UPDATE orders o SET o.total = (SELECT SUM(i.quantity * i.unit_price) FROM order_items i WHERE i.order_id = o.id);
UPDATE orders SET status = 'paid' WHERE number = '2026-0000001' AND status = 'placed';
UPDATE orders SET status = 'paid' WHERE number = '2026-0000001' AND status = 'placed';
UPDATE counters SET value = LAST_INSERT_ID(value + 1) WHERE name = 'orders';
UPDATE order_items SET quantity = quantity + 1 WHERE order_id = 2 ORDER BY line LIMIT 1;
UPDATE active_products SET price = price + 1 WHERE id = 3;
UPDATE order_totals SET order_lines = 1;
DELETE FROM users WHERE id = 1;
DELETE FROM order_items WHERE order_id = 4 AND line = 2;
DELETE FROM sessions WHERE last_seen < 1775044850 LIMIT 10;
DELETE FROM sessions;
DELETE pc FROM product_categories pc JOIN products p ON p.id = pc.product_id WHERE p.state = 'retired';
DELETE FROM categories WHERE slug = 'music';
DELETE FROM categories WHERE id IN (SELECT id FROM (SELECT id FROM categories WHERE slug LIKE '%-used') AS x);
DELETE FROM products WHERE id = 3;
DELETE FROM orders WHERE id = 999;
DELETE FROM nothing;
-- on: mariadb
INSERT INTO counters (name, value) VALUES ('returned', 5) RETURNING name, value * 2;
-- on: mariadb
DELETE FROM counters WHERE name = 'returned' RETURNING *;
-- on: mysql
INSERT INTO counters (name, value) VALUES ('visits', 5) AS new ON DUPLICATE KEY UPDATE value = counters.value + new.value;
-- on: mysql
WITH few AS (SELECT name FROM counters WHERE value < 8) UPDATE counters SET value = value + 1 WHERE name IN (SELECT name FROM few);
-- on: mysql
TABLE counters ORDER BY name LIMIT 2;
SELECT * FROM counters WHERE name = 'orders' FOR UPDATE;
SELECT value FROM counters WHERE name = 'visits' LOCK IN SHARE MODE;
-- on: mysql
SELECT value FROM counters WHERE name = 'visits' FOR SHARE NOWAIT;
SELECT id FROM orders WHERE status = 'cart' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;
-- params: [1]
CALL orders_of(?);
CALL orders_of(2);
CALL orders_of(NULL);
-- params: [2, {"temporal": "2026-07-01 00:00:00"}]
CALL touch_user(?, ?);
CALL touch_user(2);
CALL touch_user('two', 'today');

-- Looking around, as tools and mappers do at their start.
SELECT VERSION() = VERSION(), DATABASE(), CURRENT_USER();
SELECT @@sql_mode, @@session.autocommit, @@max_allowed_packet;
SHOW TABLES;
SHOW FULL TABLES LIKE 'order%';
SHOW COLUMNS FROM products;
SHOW FULL COLUMNS FROM users LIKE '%name';
SHOW INDEX FROM orders;
SHOW KEYS FROM product_categories;
SHOW CREATE TABLE orders;
SHOW CREATE VIEW order_totals;
SHOW CREATE PROCEDURE touch_user;
SHOW TRIGGERS LIKE 'order_items';
SHOW VARIABLES LIKE 'sql_mode';
SHOW VARIABLES WHERE Variable_name IN ('autocommit', 'lower_case_table_names');
SHOW COLLATION WHERE Charset = 'ascii';
SHOW CHARACTER SET LIKE 'utf8%';
SHOW CREATE TABLE no_such_table;
DESCRIBE countries;
DESCRIBE countries 'n%';
EXPLAIN SELECT * FROM users WHERE email = 'ada@example.org';
EXPLAIN SELECT u.id FROM users u JOIN orders o ON o.user_id = u.id WHERE o.status = 'paid';
EXPLAIN DELETE FROM counters WHERE name = 'x';
SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name;
SELECT column_name, column_type, is_nullable, column_key, column_default, extra FROM information_schema.columns WHERE table_schema = 'diff_x' AND table_name = 'products' ORDER BY ordinal_position;
SELECT constraint_name, column_name, referenced_table_name, referenced_column_name FROM information_schema.key_column_usage WHERE table_schema = DATABASE() AND referenced_table_name IS NOT NULL ORDER BY constraint_name, column_name;
SELECT index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'orders' GROUP BY index_name ORDER BY index_name;
SELECT rc.constraint_name, rc.update_rule, rc.delete_rule FROM information_schema.referential_constraints rc WHERE rc.constraint_schema = DATABASE() ORDER BY 1;
SELECT routine_name, routine_type, data_type FROM information_schema.routines WHERE routine_schema = DATABASE() ORDER BY 1;
SELECT trigger_name, event_manipulation, action_timing FROM information_schema.triggers WHERE trigger_schema = DATABASE() ORDER BY 1;
SELECT schema_name, default_character_set_name FROM information_schema.schemata WHERE schema_name IN ('diff_x', 'more_x') ORDER BY 1;
CHECK TABLE countries;
CHECKSUM TABLE countries, counters;
ANALYZE TABLE orders;

-- The schema moves on.
ALTER TABLE orders ADD COLUMN shipped_at DATETIME NULL, ADD KEY shipped (shipped_at);
UPDATE orders SET shipped_at = placed_at + INTERVAL 2 DAY WHERE status = 'shipped';
SELECT id, shipped_at FROM orders ORDER BY id;
ALTER TABLE orders MODIFY COLUMN note TEXT, CHANGE COLUMN currency currency_code CHAR(3) NOT NULL DEFAULT 'EUR';
SELECT currency FROM orders;
SELECT currency_code, note FROM orders ORDER BY id;
ALTER TABLE orders DROP INDEX shipped, DROP COLUMN shipped_at;
ALTER TABLE users MODIFY first_name VARCHAR(3);
ALTER TABLE users ADD COLUMN email INT;
ALTER TABLE counters RENAME TO tallies;
SELECT * FROM counters;
SELECT * FROM tallies ORDER BY name;
RENAME TABLE tallies TO counters;
CREATE TABLE orders_archive LIKE orders;
INSERT INTO orders_archive SELECT * FROM orders WHERE status = 'shipped';
SELECT id, number, status FROM orders_archive;
CREATE TABLE by_country AS SELECT country, COUNT(*) AS n FROM users GROUP BY country ORDER BY country;
SELECT * FROM by_country ORDER BY country;
TRUNCATE TABLE by_country;
SELECT COUNT(*) FROM by_country;
DROP TABLE by_country, orders_archive;
DROP TABLE by_country;
DROP TABLE IF EXISTS by_country;
DROP VIEW active_products;
DROP PROCEDURE touch_user;
DROP FUNCTION IF EXISTS no_such_function;
DROP TABLE countries;
