#include "sql/keywords.h"

#include "sql/ascii.h"

#include <assert.h>

typedef struct s_entry {
    const char *text;
    size_t size;
} s_entry;

#define S_ENTRY(arg, letter, name, text) {text, sizeof(text) - 1},
static const s_entry ENTRIES[] = {{"", 0}, PCL_SQL_KEYWORDS(S_ENTRY, )};
static_assert(sizeof ENTRIES / sizeof ENTRIES[0] == PCL_SQL_KEYWORD_COUNT, "an entry a keyword");

/* For each first letter the lengths that occur, one bit a length, and how many
 * keywords come before it: most identifiers are told apart without comparing. */
typedef struct s_letter {
    uint32_t sizes;
    uint32_t below;
} s_letter;

/* clang-format off */
#define S_SIZE(wanted, letter, name, text) \
    | ((letter) == (wanted) ? UINT32_C(1) << (sizeof(text) - 1) : 0u)
#define S_BELOW(wanted, letter, name, text) + ((letter) < (wanted) ? 1u : 0u)
#define S_LETTER(wanted) \
    {0u PCL_SQL_KEYWORDS(S_SIZE, wanted), 0u PCL_SQL_KEYWORDS(S_BELOW, wanted)}

static const s_letter LETTERS[] = {
    S_LETTER('a'), S_LETTER('b'), S_LETTER('c'), S_LETTER('d'), S_LETTER('e'), S_LETTER('f'),
    S_LETTER('g'), S_LETTER('h'), S_LETTER('i'), S_LETTER('j'), S_LETTER('k'), S_LETTER('l'),
    S_LETTER('m'), S_LETTER('n'), S_LETTER('o'), S_LETTER('p'), S_LETTER('q'), S_LETTER('r'),
    S_LETTER('s'), S_LETTER('t'), S_LETTER('u'), S_LETTER('v'), S_LETTER('w'), S_LETTER('x'),
    S_LETTER('y'), S_LETTER('z'), {0u, PCL_SQL_KEYWORD_COUNT - 1},
};
/* clang-format on */

pcl_sql_keyword pcl_sql_keyword_find(const uint8_t *text, size_t size)
{
    if (size == 0 || size >= 32) {
        return PCL_SQL_KW_NONE;
    }
    unsigned letter = (unsigned)pcl_sql_ascii_lower(text[0]) - 'a';
    if (letter >= 26 || (LETTERS[letter].sizes >> size & 1) == 0) {
        return PCL_SQL_KW_NONE;
    }
    for (uint32_t index = LETTERS[letter].below + 1; index <= LETTERS[letter + 1].below; index++) {
        if (ENTRIES[index].size == size && pcl_sql_ascii_is(text, ENTRIES[index].text, size)) {
            return (pcl_sql_keyword)index;
        }
    }
    return PCL_SQL_KW_NONE;
}

const char *pcl_sql_keyword_text(pcl_sql_keyword keyword)
{
    assert(keyword < PCL_SQL_KEYWORD_COUNT);
    return ENTRIES[keyword].text;
}
