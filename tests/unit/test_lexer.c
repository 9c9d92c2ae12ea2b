#include "sql/lexer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* A token is written as its kind and its text: w word, k keyword of the
 * classifier, q quoted name, s string, n number, ? parameter, @ user variable,
 * @@ system variable, := assignment, punctuation as it is, !rule an error. */
static void s_append(char *target, size_t room, const char *text, pcl_sql_token token,
                     const char *rule)
{
    static const char *const kinds[] = {
        [PCL_SQL_TOKEN_WORD] = "w:",          [PCL_SQL_TOKEN_QUOTED] = "q:",
        [PCL_SQL_TOKEN_STRING] = "s:",        [PCL_SQL_TOKEN_NUMBER] = "n:",
        [PCL_SQL_TOKEN_PARAMETER] = "",       [PCL_SQL_TOKEN_USER_VARIABLE] = "",
        [PCL_SQL_TOKEN_SYSTEM_VARIABLE] = "", [PCL_SQL_TOKEN_ASSIGN] = "",
        [PCL_SQL_TOKEN_PUNCTUATION] = "",
    };
    size_t used = strlen(target);
    const char *blank = used == 0 ? "" : " ";
    if (token.kind == PCL_SQL_TOKEN_ERROR) {
        snprintf(target + used, room - used, "%s!%s@%u", blank, rule, token.offset);
        return;
    }
    const char *kind = token.keyword != PCL_SQL_KW_NONE ? "k:" : kinds[token.kind];
    snprintf(target + used, room - used, "%s%s%.*s", blank, kind, (int)token.size,
             text + token.offset);
}

static void s_check(const char *text, const char *expected)
{
    char found[1024] = "";
    pcl_sql_lexer lexer = pcl_sql_lexer_on(pcl_bytes_text(text));
    for (unsigned count = 0; count < 100; count++) {
        pcl_sql_token token = pcl_sql_lexer_next(&lexer);
        if (token.kind == PCL_SQL_TOKEN_END) {
            break;
        }
        s_append(found, sizeof found, text, token, lexer.rule);
    }
    if (strcmp(found, expected) != 0) {
        fail_msg("%s\n  cut as   %s\n  expected %s", text, found, expected);
    }
}

static void test_words_and_names(void **state)
{
    (void)state;
    s_check("select a from t", "k:select w:a k:from w:t");
    s_check("SELECT`a`FROM`t`", "k:SELECT q:`a` k:FROM q:`t`");
    s_check("`a``b` ``` `", "q:`a``b` q:``` `");
    s_check("a.b", "w:a . w:b");
    s_check("t.select select.t t . select", "w:t . w:select w:select . w:t w:t . k:select");
    s_check("t.`select`", "w:t . q:`select`");
    s_check("a$b _c 1_a 2b", "w:a$b w:_c w:1_a w:2b");
    s_check("t.1a t.5 t.1e5f", "w:t . w:1a w:t . w:5 w:t . w:1e5f");
    s_check("`t`.5", "q:`t` n:.5");
    s_check("sel\xc3\xa9"
            "ct \xc2\xa0",
            "w:sel\xc3\xa9"
            "ct w:\xc2\xa0");
    s_check("``", "!empty name@0");
    s_check("a $b", "w:a !name that begins with $@2");
    s_check("t.$b", "w:t . !name that begins with $@2");
}

static void test_numbers(void **state)
{
    (void)state;
    s_check("1 1.5 .5 5. 1e3 1E+3 1.5e-3", "n:1 n:1.5 n:.5 n:5. n:1e3 n:1E+3 n:1.5e-3");
    s_check("0x1F 0b01 0x 0b2 0x1g", "n:0x1F n:0b01 w:0x w:0b2 w:0x1g");
    s_check("1e0union 1.0union 1.union", "n:1e0 w:union n:1.0 w:union n:1. w:union");
    s_check("1e 1e+ 1ex", "w:1e w:1e + w:1ex");
    s_check("1..5 1.2.3", "n:1. n:.5 n:1.2 n:.3");
    s_check("1.e(1)", "!malformed number@0");
    s_check("0X1F", "!0X or 0B, which servers take for a name@0");
    s_check("0Xg 0Backup", "w:0Xg w:0Backup");
}

static void test_strings(void **state)
{
    (void)state;
    s_check("'a' \"b\" 'it''s' \"say \"\"x\"\"\"", "s:'a' s:\"b\" s:'it''s' s:\"say \"\"x\"\"\"");
    s_check("'a\\'b' 'a\\\\'", "s:'a\\'b' s:'a\\\\'");
    s_check("'a\\\\'b'c'", "s:'a\\\\' !malformed hexadecimal or bit literal@5");
    s_check("'\"' \"'\" '`'", "s:'\"' s:\"'\" s:'`'");
    s_check("x'4f' X'' b'01' N'a''b' n'\\'' _latin1'x'",
            "s:x'4f' s:X'' s:b'01' s:N'a''b' s:n'\\'' w:_latin1 s:'x'");
    s_check("x'4g'", "!malformed hexadecimal or bit literal@0");
    s_check("x 'a' xx'a'", "w:x s:'a' w:xx s:'a'");
    s_check("'a", "!string without an end@0");
    s_check("1 'a\\'", "n:1 !string without an end@2");
    s_check("\"a'", "!string without an end@0");
    s_check("`a", "!quoted name without an end@0");
    s_check("'a' 'b'", "s:'a' s:'b'");
}

static void test_comments(void **state)
{
    (void)state;
    s_check("1 -- x", "n:1");
    s_check("1 --\tx\n2", "n:1 n:2");
    s_check("1 --\n2", "n:1 n:2");
    s_check("1 --", "n:1");
    s_check("1 --2", "n:1 - - n:2");
    s_check("1 ---- 2", "n:1 - -");
    s_check("1 --\xc2\xa0", "n:1 - - w:\xc2\xa0");
    s_check("1 # x\r2\n3", "n:1 n:3");
    s_check("1/* x */2 /**/ 3 /***/ 4 /* * / */", "n:1 n:2 n:3 n:4");
    s_check("1 /* /* */ 2 */", "n:1 n:2 * /");
    s_check("'/*' 1 '*/'", "s:'/*' n:1 s:'*/'");
    s_check("1 /* ' */ 2", "n:1 n:2");
    s_check("1 /* ", "n:1 !comment without an end@2");
    s_check("1 /*/", "n:1 !comment without an end@2");
    s_check("1 /*! 2 */", "n:1 !executable comment@2");
    s_check("1 /*!50000 2 */", "n:1 !executable comment@2");
    s_check("1 /*M! 2 */", "n:1 !executable comment@2");
    s_check("1 /*m! 2 */", "n:1 !executable comment@2");
    s_check("1 /* ! 2 */", "n:1");
    s_check("1 /*+ BKA(t) */ 2", "n:1 n:2");
    s_check("1 /*+ Set_Var(x=1) */ 2", "n:1 !optimizer hint that changes a setting@2");
    s_check("1 /*+ MAX_EXECUTION_TIME(0) */", "n:1 !optimizer hint that changes a setting@2");
    s_check("1 /*+ QB_NAME(`x`) */", "n:1 !optimizer hint with quotes@2");
    s_check("- - /* x */ -", "- - -");
    s_check("1 / * 2", "n:1 / * n:2");
}

static void test_variables_and_marks(void **state)
{
    (void)state;
    s_check("? ?,?", "? ? , ?");
    s_check("@a @'b c' @`d` @\"e\" @a.b @", "@a @'b c' @`d` @\"e\" @a.b @");
    s_check("@@a @@global.b @@`c` @@session.`d`", "@@a @@global.b @@`c` @@session.`d`");
    s_check("a@b 'a'@'b'", "w:a @b s:'a' @'b'");
    s_check("@@", "!system variable without a name@0");
    s_check("@@a. b", "!system variable without a name@0");
    s_check("@@`a", "!quoted name without an end@2");
    s_check("@'a", "!string without an end@0");
    s_check("@a:=1 : =", "@a := n:1 : =");
    s_check("a->>'$.b'", "w:a - > > s:'$.b'");
    s_check("a<=>b||c&&d", "w:a < = > w:b | | w:c & & w:d");
    s_check("{d '1'}", "{ w:d s:'1' }");
    s_check("\\N", "!backslash outside a literal@0");
    s_check("(;)", "( ; )");
}

static void test_nothing_follows_an_error(void **state)
{
    (void)state;
    pcl_sql_lexer lexer = pcl_sql_lexer_on(pcl_bytes_text("$a select"));
    assert_int_equal(pcl_sql_lexer_next(&lexer).kind, PCL_SQL_TOKEN_ERROR);
    assert_int_equal(pcl_sql_lexer_next(&lexer).kind, PCL_SQL_TOKEN_END);
    assert_int_equal(pcl_sql_lexer_next(&lexer).kind, PCL_SQL_TOKEN_END);
}

static void test_every_keyword_is_found(void **state)
{
    (void)state;
    for (unsigned index = 1; index < PCL_SQL_KEYWORD_COUNT; index++) {
        const char *text = pcl_sql_keyword_text((pcl_sql_keyword)index);
        const char *before = pcl_sql_keyword_text((pcl_sql_keyword)(index - 1));
        assert_true(strcmp(before, text) < 0);
        assert_true(strlen(text) < 32);
        assert_int_equal(pcl_sql_keyword_find((const uint8_t *)text, strlen(text)), index);
        assert_int_not_equal(pcl_sql_keyword_find((const uint8_t *)text, strlen(text) - 1), index);
    }
    assert_int_equal(pcl_sql_keyword_find((const uint8_t *)"SeLeCt", 6), PCL_SQL_KW_SELECT);
    assert_int_equal(pcl_sql_keyword_find((const uint8_t *)"selecu", 6), PCL_SQL_KW_NONE);
    assert_int_equal(pcl_sql_keyword_find((const uint8_t *)"_", 1), PCL_SQL_KW_NONE);
    assert_int_equal(pcl_sql_keyword_find(NULL, 0), PCL_SQL_KW_NONE);
}

static void s_check_text(const char *text, size_t size, const char *rule, uint32_t offset)
{
    uint32_t found = 0;
    const char *broken = pcl_sql_text_check(pcl_bytes_of(text, size), &found);
    if (rule == NULL) {
        assert_null(broken);
    } else {
        assert_non_null(broken);
        assert_string_equal(broken, rule);
        assert_int_equal(found, offset);
    }
}

#define S_CHECK_TEXT(text, rule, offset) s_check_text(text, sizeof(text) - 1, rule, offset)

static void test_the_text_is_checked(void **state)
{
    (void)state;
    S_CHECK_TEXT("", NULL, 0);
    S_CHECK_TEXT("plain text of more than eight octets\t\r\n\v\f", NULL, 0);
    S_CHECK_TEXT("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf", NULL, 0);
    S_CHECK_TEXT("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf", NULL, 0);
    S_CHECK_TEXT("abc\0def", "NUL", 3);
    S_CHECK_TEXT("abcdefghij\0", "NUL", 10);
    S_CHECK_TEXT("abcdefghij\x1f", "control character", 10);
    S_CHECK_TEXT("abcdefg\x7f", "control character", 7);
    S_CHECK_TEXT("\x80", "invalid UTF-8", 0);
    S_CHECK_TEXT("a\xc0\x80", "invalid UTF-8", 1);
    S_CHECK_TEXT("a\xc1\xbf", "invalid UTF-8", 1);
    S_CHECK_TEXT("\xe0\x9f\xbf", "invalid UTF-8", 0);
    S_CHECK_TEXT("\xed\xa0\x80", "invalid UTF-8", 0);
    S_CHECK_TEXT("\xf0\x8f\xbf\xbf", "invalid UTF-8", 0);
    S_CHECK_TEXT("\xf4\x90\x80\x80", "invalid UTF-8", 0);
    S_CHECK_TEXT("\xf5\x80\x80\x80", "invalid UTF-8", 0);
    S_CHECK_TEXT("abcdefgh\xe2\x82", "invalid UTF-8", 8);
    S_CHECK_TEXT("\xe2(\xa1", "invalid UTF-8", 0);
    S_CHECK_TEXT("\xef\xbb\xbfselect", "byte order mark", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_and_names),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_comments),
        cmocka_unit_test(test_variables_and_marks),
        cmocka_unit_test(test_nothing_follows_an_error),
        cmocka_unit_test(test_every_keyword_is_found),
        cmocka_unit_test(test_the_text_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
