/* lexer_bench.c - how fast statements are judged, in MB/s of SQL on one core.
 *
 * usage: lexer_bench [SECONDS]
 * Three mixes: short point selects, an application's longer statements, and
 * inserts of many rows, whose literals dominate.
 */
#include "sql/classify.h"
#include "sql/lexer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEXT_MAX = 65536, ROUNDS = 256 };

static const char *const SHORT[] = {
    "SELECT c FROM sbtest1 WHERE id=?",
    "SELECT id, name, email FROM users WHERE id = 4711 LIMIT 1",
    "UPDATE sbtest1 SET k=k+1 WHERE id=?",
    "INSERT INTO sbtest1 (id, k, c, pad) VALUES (?, ?, ?, ?)",
};
static const char *const LONG[] = {
    ("SELECT u.id, u.name, COUNT(o.id) AS orders, SUM(o.total) AS revenue FROM users u "
     "LEFT JOIN orders o ON o.user_id = u.id AND o.state <> 'void' WHERE u.created_at >= ? "
     "AND u.country IN ('de', 'fr', 'it') GROUP BY u.id, u.name HAVING COUNT(o.id) > 3 "
     "ORDER BY revenue DESC LIMIT 50 OFFSET 100"),
    ("WITH recent (id, at) AS (SELECT id, MAX(created_at) FROM events WHERE kind = 'login' "
     "GROUP BY id) SELECT r.id, JSON_EXTRACT(p.doc, '$.plan') AS plan, ROW_NUMBER() OVER "
     "(PARTITION BY p.region ORDER BY r.at DESC) AS rn FROM recent r JOIN profiles p USING (id)"),
    ("SELECT `wp_posts`.* FROM `wp_posts` WHERE 1=1 AND `wp_posts`.`post_type` = 'post' AND "
     "((`wp_posts`.`post_status` = 'publish')) ORDER BY `wp_posts`.`post_date` DESC LIMIT 0, 10"),
};

typedef struct mix {
    const char *name;
    const char *const *texts;
    size_t count;
} mix;

/* Processor time: a busy machine does not change it much. */
static double s_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Returns how many tokens: a sum that keeps the work from being optimised away. */
static uint64_t s_cut(pcl_bytes sql)
{
    pcl_sql_lexer lexer = pcl_sql_lexer_on(sql);
    uint64_t count = 0;
    while (pcl_sql_lexer_next(&lexer).kind != PCL_SQL_TOKEN_END) {
        count++;
    }
    return count;
}

static void s_run(const mix *measured, double limit_s)
{
    for (unsigned whole = 0; whole < 2; whole++) {
        uint64_t octets = 0;
        uint64_t statements = 0;
        uint64_t sum = 0;
        double start = s_now_s();
        double spent = 0;
        while (spent < limit_s) {
            for (unsigned round = 0; round < ROUNDS; round++) {
                pcl_bytes sql = pcl_bytes_text(measured->texts[round % measured->count]);
                sum += whole ? (uint64_t)pcl_sql_classify(sql).sql_class : s_cut(sql);
                octets += sql.size;
                statements++;
            }
            spent = s_now_s() - start;
        }
        printf("%-8s %-8s %7.1f MB/s %7.0f ns a statement (sum %llu)\n", measured->name,
               whole ? "classify" : "lex", (double)octets / spent / 1e6,
               spent * 1e9 / (double)statements, (unsigned long long)sum);
    }
}

static char *s_bulk_insert(void)
{
    static char text[TEXT_MAX];
    size_t used = (size_t)snprintf(text, sizeof text, "INSERT INTO log (at, text) VALUES ");
    for (unsigned row = 0; used + 200 < sizeof text; row++) {
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "%s(%u, 'the quick brown fox jumps over the lazy dog, it''s said "
                                 "to have done so %u times')",
                                 row == 0 ? "" : ", ", row, row);
    }
    return text;
}

int main(int argc, char **argv)
{
    double limit_s = argc > 1 ? strtod(argv[1], NULL) : 1.0;
    if (!(limit_s > 0 && limit_s <= 60)) {
        fprintf(stderr, "usage: lexer_bench [SECONDS, at most 60]\n");
        return EXIT_FAILURE;
    }
    const char *const bulk[] = {s_bulk_insert()};
    const mix mixes[] = {
        {"short", SHORT, sizeof SHORT / sizeof SHORT[0]},
        {"long", LONG, sizeof LONG / sizeof LONG[0]},
        {"bulk", bulk, 1},
    };
    for (size_t index = 0; index < sizeof mixes / sizeof mixes[0]; index++) {
        s_run(&mixes[index], limit_s);
    }
    return EXIT_SUCCESS;
}
