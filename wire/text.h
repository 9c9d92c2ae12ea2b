/* text.h - the syntax of texts that travel inside other values.
 *
 * Only syntax: whether 2024-02-31 is a day is for the database to say. */
#ifndef PCL_WIRE_TEXT_H
#define PCL_WIRE_TEXT_H

#include "common/bytes.h"

#include <stdbool.h>

#define PCL_DECIMAL_DIGITS_MAX 65u /* of MySQL's DECIMAL */

/* [-]digits[.digits], 1 to PCL_DECIMAL_DIGITS_MAX digits in all. */
bool pcl_text_is_decimal(pcl_bytes text);

/* YYYY-MM-DD, [-]H[HH]:MM:SS[.f], or a date, `T` or a blank, and HH:MM:SS[.f];
 * f has 1 to 6 digits. */
bool pcl_text_is_temporal(pcl_bytes text);

/* version "-" trace-id "-" parent-id "-" flags, lower-case hex; a version
 * above 00 may say more after another "-". */
bool pcl_text_is_traceparent(pcl_bytes text);

/* Not empty, octets 0x20 to 0x7e. */
bool pcl_text_is_printable(pcl_bytes text);

#endif
