/* answers.h - what the metadata service and Secrets Manager answer, as values.  Pure.
 *
 * Whatever the answer is, it is a safe input: each function takes what is whole and right, or
 * nothing at all.
 */
#ifndef PCL_AWS_ANSWERS_H
#define PCL_AWS_ANSWERS_H

#include "aws/sigv4.h"
#include "common/bytes.h"
#include "common/error.h"
#include "common/rng.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_AWS_ANSWER_SIZE_MAX 131072u /* a secret's 64 KiB, escaped */
#define PCL_AWS_WORD_SIZE       65u /* of a zone, a region, an id, an action, a role, a version */
#define PCL_SECRET_SIZE_MAX     65536u
#define PCL_SECRET_FILES_MAX    64u
#define PCL_SECRET_NAME_SIZE    65u
#define PCL_AWS_ERROR_SIZE      256u
#define PCL_AWS_REFRESH_AHEAD_S 300u /* credentials are renewed so long before their end */
#define PCL_AWS_PAUSE_MS_MAX    30000u

/* One word of letters, digits, "-", ".", ":", "_" and "/", with a line end at most behind it, as
 * the metadata service says names.  false: anything else; target is untouched. */
bool pcl_aws_word(pcl_bytes answer, char target[PCL_AWS_WORD_SIZE]) PCL_MUST_CHECK;

/* Likewise of the name of a role, which may have "+", "=", "," and "@" in it, and no ":" or "/". */
bool pcl_aws_role_name(pcl_bytes answer, char target[PCL_AWS_WORD_SIZE]) PCL_MUST_CHECK;

/* The credentials of an instance's role.  false: the answer has none, or says that the service has
 * none ("Code" other than "Success"); *out_credentials is untouched. */
bool pcl_aws_read_credentials(pcl_bytes answer,
                              pcl_aws_credentials *out_credentials) PCL_MUST_CHECK;

/* Whether they are to be renewed; and whether they must not be used any more. */
bool pcl_aws_credentials_age(const pcl_aws_credentials *self, uint64_t wall_s);
bool pcl_aws_credentials_expired(const pcl_aws_credentials *self, uint64_t wall_s);

/* What will become of the instance. */
typedef struct pcl_aws_notice {
    char action[PCL_AWS_WORD_SIZE]; /* "terminate", "stop", "hibernate"; "": none */
    uint64_t at_s;                  /* when, since 1970; 0: it does not say */
} pcl_aws_notice;

/* Of spot/instance-action.  false: no such answer. */
bool pcl_aws_read_notice(pcl_bytes answer, pcl_aws_notice *out_notice) PCL_MUST_CHECK;

/* --- Secrets ---------------------------------------------------------------------- */

/* The octets stand in a buffer of the caller's, wiped by him. */
typedef struct pcl_secret_file {
    char name[PCL_SECRET_NAME_SIZE];
    size_t offset, size; /* in the buffer */
} pcl_secret_file;

typedef struct pcl_secret {
    uint32_t count;
    pcl_secret_file files[PCL_SECRET_FILES_MAX];
} pcl_secret;

/* The value that GetSecretValue answers, and the id of its version, "" where it has none.  false:
 * it has no value as text. */
bool pcl_secret_of_answer(pcl_bytes answer, pcl_buffer *value,
                          char version[PCL_AWS_WORD_SIZE]) PCL_MUST_CHECK;

/* The files of {"files": {"NAME": "CONTENT", ...}}: 1 to PCL_SECRET_FILES_MAX of them, a name of
 * letters, digits, ".", "-" and "_" that does not begin with ".", each once.  NULL, or what is
 * wrong, in static words without a word of the secret. */
const char *pcl_secret_read(pcl_bytes value, pcl_buffer *octets,
                            pcl_secret *out_secret) PCL_MUST_CHECK;

/* "ThrottlingException" of an error's answer; "" where it says none. */
void pcl_aws_error_type(pcl_bytes answer, char target[PCL_AWS_WORD_SIZE]);

/* Whether that error says that the credentials are not (any more) good. */
bool pcl_aws_error_is_of_credentials(const char *type);

/* --- Waiting ------------------------------------------------------------------------ */

/* How long to wait before the next try, after failures in a row (1 is the first): up to twice as
 * long each time, half of it by chance, so that many instances do not come at once. */
uint32_t pcl_aws_pause_ms(uint32_t failures, pcl_rng *rng);
/* An interval, a tenth of it less or more by chance. */
uint32_t pcl_aws_jitter_ms(uint32_t interval_ms, pcl_rng *rng);

#endif
