/* lexer_bench.c - how fast statements are judged, in MB/s of SQL on one core.
 *
 * usage: lexer_bench [SECONDS]
 * Three mixes: short point selects, an application's longer statements, and
 * inserts of many rows, whose literals dominate.  Of each: the lexer alone, with
 * the check of the octets before it, the verdict, the digest, and both from the
 * cache; and how many times as long as the lexer that took.
 */
#include "sql/cache.h"
#include "sql/classify.h"
#include "sql/digest.h"
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

/* Each returns a number, whose sum keeps the work from being optimised away. */
static volatile uint64_t s_sum;

typedef uint64_t step(pcl_bytes sql, void *context);

static uint64_t s_cut(pcl_bytes sql, void *context)
{
    (void)context;
    pcl_sql_lexer lexer = pcl_sql_lexer_on(sql);
    uint64_t count = 0;
    while (pcl_sql_lexer_next(&lexer).kind != PCL_SQL_TOKEN_END) {
        count++;
    }
    return count;
}

static uint64_t s_check_and_cut(pcl_bytes sql, void *context)
{
    uint32_t offset = 0;
    return pcl_sql_text_check(sql, &offset) == NULL ? s_cut(sql, context) : 0;
}

static uint64_t s_judge(pcl_bytes sql, void *context)
{
    (void)context;
    return (uint64_t)pcl_sql_classify(sql).sql_class;
}

static uint64_t s_digest(pcl_bytes sql, void *context)
{
    pcl_buffer *buffer = context;
    pcl_buffer_clear(buffer);
    return pcl_sql_digest(sql, buffer) ? buffer->size : 0;
}

static uint64_t s_ask_cache(pcl_bytes sql, void *context)
{
    return pcl_sql_cache_judge(context, sql).digest.size;
}

/* Nanoseconds a statement. */
static double s_measure(const mix *measured, step *work, void *context, double limit_s,
                        double *out_octets)
{
    uint64_t octets = 0;
    uint64_t statements = 0;
    double start = s_now_s();
    double spent = 0;
    while (spent < limit_s) {
        for (unsigned round = 0; round < ROUNDS; round++) {
            pcl_bytes sql = pcl_bytes_text(measured->texts[round % measured->count]);
            s_sum += work(sql, context);
            octets += sql.size;
            statements++;
        }
        spent = s_now_s() - start;
    }
    *out_octets = (double)octets / (double)statements;
    return spent * 1e9 / (double)statements;
}

static void s_run(const mix *measured, double limit_s, pcl_buffer *buffer, pcl_sql_cache *cache)
{
    const struct {
        const char *name;
        step *work;
        void *context;
    } steps[] = {
        {"lexer", s_cut, NULL},
        {"check and lexer", s_check_and_cut, NULL},
        {"verdict", s_judge, NULL},
        {"digest", s_digest, buffer},
        {"cache hit", s_ask_cache, cache},
    };
    double lexer_ns = 0;
    for (size_t index = 0; index < sizeof steps / sizeof steps[0]; index++) {
        double octets = 0;
        double ns = s_measure(measured, steps[index].work, steps[index].context, limit_s, &octets);
        lexer_ns = index == 0 ? ns : lexer_ns;
        printf("%-6s %-16s %8.1f MB/s %9.0f ns a statement %6.2f lexers\n", measured->name,
               steps[index].name, octets * 1e3 / ns, ns, ns / lexer_ns);
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
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_SQL_DIGEST_SIZE_MAX);
    pcl_sql_cache *cache = pcl_sql_cache_new(NULL, 1024, 1024 * 1024, 42);
    if (cache == NULL) {
        fprintf(stderr, "out of memory\n");
        return EXIT_FAILURE;
    }
    for (size_t index = 0; index < sizeof mixes / sizeof mixes[0]; index++) {
        s_run(&mixes[index], limit_s, &buffer, cache);
    }
    pcl_sql_cache_destroy(&cache);
    pcl_buffer_release(&buffer);
    return EXIT_SUCCESS;
}
