-- The demo schema: a small shop.  Each statement can be run again; infra/up.sh
-- sends them one by one through the gatekeeper.

CREATE DATABASE IF NOT EXISTS demo;

CREATE TABLE IF NOT EXISTS demo.customers (
    id INT UNSIGNED NOT NULL PRIMARY KEY,
    name VARCHAR(80) NOT NULL,
    city VARCHAR(40) NOT NULL,
    balance DECIMAL(12,2) NOT NULL,
    born DATE,
    joined DATETIME(6) NOT NULL,
    active BOOLEAN NOT NULL,
    notes JSON,
    KEY by_city (city)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS demo.products (
    id INT UNSIGNED NOT NULL PRIMARY KEY,
    name VARCHAR(80) NOT NULL,
    price DECIMAL(10,2) NOT NULL,
    weight DOUBLE,
    size ENUM('S', 'M', 'L') NOT NULL,
    tags SET('new', 'sale', 'heavy') NOT NULL,
    picture VARBINARY(64),
    opens TIME NOT NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS demo.orders (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    customer INT UNSIGNED NOT NULL,
    product INT UNSIGNED NOT NULL,
    quantity SMALLINT UNSIGNED NOT NULL,
    placed TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    shipped YEAR,
    KEY by_customer (customer),
    CONSTRAINT order_customer FOREIGN KEY (customer) REFERENCES demo.customers (id),
    CONSTRAINT order_product FOREIGN KEY (product) REFERENCES demo.products (id)
) ENGINE = InnoDB;

INSERT IGNORE INTO demo.customers (id, name, city, balance, born, joined, active, notes)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 300)
SELECT n,
       CONCAT(ELT(1 + n MOD 10, 'Ada', 'Blaise', 'Chloé', 'Edsger', 'Frances', 'Grace', 'Hedy',
                  'Jürgen', 'Katherine', 'Łukasz'), ' ',
              ELT(1 + n MOD 7, 'Abel', 'Bell', 'Curie', 'Dijkstra', 'Euler', 'Fermat', 'Gauß')),
       ELT(1 + n MOD 5, 'Athens', 'Berlin', 'Kraków', 'Lisbon', 'Oslo'),
       (n * 7919 MOD 100000) / 100 - 100,
       IF(n MOD 11 = 0, NULL, DATE_ADD('1950-01-01', INTERVAL n * 83 DAY)),
       DATE_ADD('2020-01-01 00:00:00.000001', INTERVAL n * 100003 SECOND),
       n MOD 4 <> 0,
       IF(n MOD 3 = 0, NULL, JSON_OBJECT('rank', n, 'likes', JSON_ARRAY('tea', 'chess')))
FROM numbers;

INSERT IGNORE INTO demo.products (id, name, price, weight, size, tags, picture, opens)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 40)
SELECT n,
       CONCAT(ELT(1 + n MOD 4, 'Gate', 'Bridge', 'Tower', 'Wall'), ' no. ', n),
       n * 1.25 + 0.99,
       IF(n MOD 9 = 0, NULL, n / 8),
       ELT(1 + n MOD 3, 'S', 'M', 'L'),
       ELT(1 + n MOD 4, '', 'new', 'sale', 'new,heavy'),
       IF(n MOD 5 = 0, NULL, UNHEX(SHA2(n, 256))),
       SEC_TO_TIME(28800 + n * 60)
FROM numbers;

INSERT IGNORE INTO demo.orders (id, customer, product, quantity, placed, shipped)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 900)
SELECT n, 1 + n * 17 MOD 300, 1 + n * 7 MOD 40, 1 + n MOD 5,
       DATE_ADD('2024-01-01 00:00:00', INTERVAL n * 3607 SECOND),
       IF(n MOD 6 = 0, NULL, 2024)
FROM numbers;
