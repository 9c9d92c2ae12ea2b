/* client.h - the metadata service of an EC2 instance (IMDSv2 only) and, with the credentials of the
 * instance's role, Secrets Manager.
 *
 * Tokens and credentials are kept until their ends and renewed before; credentials that cannot be
 * renewed are used on to their end.  Each call makes its few exchanges, each within timeout_ms, and
 * tries once more only what was refused for an old token or old credentials: when to try again is
 * the caller's to say (pcl_aws_pause_ms).  Belongs to one thread, but for pcl_aws_client_stop.
 */
#ifndef PCL_AWS_CLIENT_H
#define PCL_AWS_CLIENT_H

#include "aws/answers.h"
#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_AWS_URL_SIZE      512u
#define PCL_AWS_METADATA_URL  "http://169.254.169.254"
#define PCL_AWS_SECRET_ID_MAX 2048u

typedef struct pcl_aws_client pcl_aws_client;

/* Copied.  "" where the default shall count. */
typedef struct pcl_aws_options {
    const char *metadata_url; /* default PCL_AWS_METADATA_URL */
    const char *secrets_url;  /* default https://secretsmanager.REGION.amazonaws.com */
    const char *region;       /* default the instance's own */
    uint32_t timeout_ms;      /* of one exchange */
} pcl_aws_options;

/* NULL, or what is wrong with an address of a service: it must be http://HOST[:PORT] or https://...
 * without a path. */
const char *pcl_aws_url_fault(const char *url);

pcl_aws_client *pcl_aws_client_new(const pcl_aws_options *options);
/* Wipes what it knows. */
void pcl_aws_client_destroy(pcl_aws_client **self_p);
/* From any thread: what it does ends soon, and fails. */
void pcl_aws_client_stop(pcl_aws_client *self);

/* What the metadata service says at a path below /latest/meta-data/; OK, or UNAVAILABLE, and error
 * says why; GONE: it says that there is no such thing. */
pcl_err pcl_aws_metadata(pcl_aws_client *self, const char *path, pcl_buffer *answer,
                         char error[PCL_AWS_ERROR_SIZE]) PCL_MUST_CHECK;
/* The same, of one word. */
pcl_err pcl_aws_metadata_word(pcl_aws_client *self, const char *path,
                              char target[PCL_AWS_WORD_SIZE],
                              char error[PCL_AWS_ERROR_SIZE]) PCL_MUST_CHECK;
/* GONE: none. */
pcl_err pcl_aws_metadata_notice(pcl_aws_client *self, pcl_aws_notice *out_notice,
                                char error[PCL_AWS_ERROR_SIZE]) PCL_MUST_CHECK;

/* The files of a secret, as GetSecretValue has it now; octets holds their content, and is the
 * caller's to wipe (pcl_file_wipe).  false: error says why, and never with a word of the secret. */
bool pcl_aws_secret(pcl_aws_client *self, const char *secret_id, pcl_buffer *octets,
                    pcl_secret *out_secret, char version[PCL_AWS_WORD_SIZE],
                    char error[PCL_AWS_ERROR_SIZE]) PCL_MUST_CHECK;

#endif
