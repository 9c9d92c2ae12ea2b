/* sigv4.h - AWS Signature Version 4 of a request: SHA-256 of the request in its canonical form,
 * under a key that is derived from the secret key, the day, the region and the service.
 * (AWS, "Create a signed AWS API request", IAM User Guide.)  Pure.
 */
#ifndef PCL_AWS_SIGV4_H
#define PCL_AWS_SIGV4_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_AWS_HEADERS_MAX      16u
#define PCL_AWS_DATE_SIZE        17u /* "20150830T123600Z" */
#define PCL_AWS_ACCESS_KEY_SIZE  129u
#define PCL_AWS_SECRET_KEY_SIZE  129u
#define PCL_AWS_TOKEN_SIZE       8192u
#define PCL_AWS_HEADERS_SIZE_MAX (2u * PCL_AWS_TOKEN_SIZE)

typedef struct pcl_aws_credentials {
    char access_key[PCL_AWS_ACCESS_KEY_SIZE];
    char secret_key[PCL_AWS_SECRET_KEY_SIZE];
    char token[PCL_AWS_TOKEN_SIZE]; /* of the session; "": none */
    uint64_t expires_s;             /* since 1970; 0: never */
} pcl_aws_credentials;

typedef struct pcl_aws_header {
    const char *name;  /* in lower case */
    const char *value; /* blanks around it, and runs of them, count as the service sees them */
} pcl_aws_header;

/* All borrowed.  host and x-amz-date must be among the headers; every header given is signed. */
typedef struct pcl_aws_request {
    const char *method;
    const char *path;  /* encoded, from the first slash */
    const char *query; /* encoded and in the order of the names; "": none */
    const pcl_aws_header *headers;
    uint32_t header_count; /* at most PCL_AWS_HEADERS_MAX */
    pcl_bytes body;
} pcl_aws_request;

/* The value of the header x-amz-date for a time in seconds since 1970, below the year 10000. */
void pcl_aws_date(uint64_t wall_s, char target[PCL_AWS_DATE_SIZE]);

/* Seconds since 1970 of "2015-08-30T12:36:00Z".  false: it is not of that form. */
bool pcl_aws_time(const char *text, uint64_t *out_wall_s) PCL_MUST_CHECK;

/* The canonical form of the request, as the service will make it, too. */
void pcl_aws_canonical(const pcl_aws_request *request, pcl_buffer *target);

/* Appends the value of the header Authorization.  false: the buffer is full. */
bool pcl_aws_sign(const pcl_aws_request *request, const pcl_aws_credentials *credentials,
                  const char *region, const char *service, const char date[PCL_AWS_DATE_SIZE],
                  pcl_buffer *target) PCL_MUST_CHECK;

#endif
