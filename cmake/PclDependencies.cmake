# Everything that is not ours, as imported targets.  Two libraries go by two
# names: msgpack-c is `msgpack` in Debian 12 and `msgpack-c` in newer releases,
# and the MySQL client library is MariaDB's Connector/C or Oracle's.
include_guard(GLOBAL)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

pkg_check_modules(CZMQ REQUIRED IMPORTED_TARGET libczmq>=4.2 libzmq>=4.3)
pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq>=4.3)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd)
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_search_module(MSGPACK REQUIRED IMPORTED_TARGET msgpack-c msgpack)
# Debian 13's msgpack-c.pc says `includedir=include`, which is nowhere: its
# headers are where the compiler looks anyway.
get_target_property(msgpack_folders PkgConfig::MSGPACK INTERFACE_INCLUDE_DIRECTORIES)
if(msgpack_folders)
  list(FILTER msgpack_folders INCLUDE REGEX "^/")
  set_target_properties(PkgConfig::MSGPACK PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${msgpack_folders}")
endif()

set(PCL_MYSQL_CLIENT "auto" CACHE STRING "MySQL client library: auto | mariadb | mysql")
set_property(CACHE PCL_MYSQL_CLIENT PROPERTY STRINGS auto mariadb mysql)
if(PCL_MYSQL_CLIENT STREQUAL "auto")
  pkg_search_module(MYSQL REQUIRED IMPORTED_TARGET libmariadb mysqlclient)
elseif(PCL_MYSQL_CLIENT STREQUAL "mariadb")
  pkg_search_module(MYSQL REQUIRED IMPORTED_TARGET libmariadb)
else()
  pkg_search_module(MYSQL REQUIRED IMPORTED_TARGET mysqlclient)
endif()
message(STATUS "MySQL client library: ${MYSQL_MODULE_NAME} ${MYSQL_VERSION}")
