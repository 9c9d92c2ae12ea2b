/* config_check.h - one configuration value against its entry. */
#ifndef PCL_NET_CONFIG_CHECK_H
#define PCL_NET_CONFIG_CHECK_H

#include "net/config.h"

/* false: rule says what the value must be.  look_at_files: key files, key lists
 * and password files are opened and checked too. */
bool pcl_config_check(const pcl_config_entry *entry, const char *text, bool look_at_files,
                      char *rule, size_t rule_size);

/* What the entry allows, for people: "number, 1 to 100, default 10". */
void pcl_config_rule(const pcl_config_entry *entry, char *rule, size_t rule_size);

#endif
