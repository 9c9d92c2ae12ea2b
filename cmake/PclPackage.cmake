# One .deb a role (portcullis-gatekeeper_0.1.0_amd64.deb, ...): the install
# components are the packages, so that nothing is listed twice.
#
#   cmake --preset release && cmake --build --preset release
#   cd build/release && cpack
include_guard(GLOBAL)

set(PCL_PACKAGE_REVISION "" CACHE STRING "Put after the packages' version, +20261231.abc")
set(PCL_PACKAGE_VERSION "${PROJECT_VERSION}${PCL_PACKAGE_REVISION}")

set(CPACK_GENERATOR DEB)
set(CPACK_DEBIAN_PACKAGE_VERSION "${PCL_PACKAGE_VERSION}")
set(CPACK_PACKAGE_CONTACT "Portcullis maintainers <maintainers@portcullis.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
# The units name the installed paths, so both prefixes must be the same.
set(CPACK_PACKAGING_INSTALL_PREFIX "${CMAKE_INSTALL_PREFIX}")
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)

# The library goes by Debian's names; everything else is portcullis-COMPONENT.
set(CPACK_DEBIAN_LIB_PACKAGE_NAME "libportcullis${PROJECT_VERSION_MAJOR}")
set(CPACK_DEBIAN_LIB_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIB_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/packaging/triggers")
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libportcullis-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
  "libportcullis${PROJECT_VERSION_MAJOR} (= ${PCL_PACKAGE_VERSION})")
set(CPACK_DEBIAN_PORTCULLISD_PACKAGE_NAME portcullisd)
foreach(daemon gatekeeper broker proxy worker-agent portcullisd)
  string(TOUPPER "${daemon}" DAEMON)
  set(CPACK_DEBIAN_${DAEMON}_PACKAGE_CONTROL_EXTRA
    "${PROJECT_SOURCE_DIR}/packaging/postinst;${PROJECT_SOURCE_DIR}/packaging/prerm"
    "${PROJECT_SOURCE_DIR}/packaging/postrm"
    "${PROJECT_BINARY_DIR}/packaging/${daemon}.d/conffiles")
  # passwd brings useradd where systemd-sysusers is not.
  set(CPACK_DEBIAN_${DAEMON}_PACKAGE_DEPENDS passwd)
  set(CPACK_DEBIAN_${DAEMON}_PACKAGE_RECOMMENDS nftables)
endforeach()

# The changelog of Debian's form names the version; CHANGELOG.md tells what is new.
string(TIMESTAMP PCL_CHANGELOG_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
set(changelog "${PROJECT_BINARY_DIR}/packaging/changelog")
configure_file(packaging/changelog.in "${changelog}" @ONLY)
add_custom_command(OUTPUT "${changelog}.gz"
  COMMAND gzip -9nkf "${changelog}"
  DEPENDS "${changelog}"
  COMMENT "Changelog of the packages"
  VERBATIM)
add_custom_target(package-changelog ALL DEPENDS "${changelog}.gz")

# pcl_package(COMPONENT TEXT): the package's description, below the line that all share; and what
# Debian's policy wants in each: the licence and a changelog of its form.
function(pcl_package component text)
  string(TOUPPER "${component}" COMPONENT)
  set(package "${CPACK_DEBIAN_${COMPONENT}_PACKAGE_NAME}")
  if(NOT package)
    set(package "portcullis-${component}")
  endif()
  set(CPACK_DEBIAN_${COMPONENT}_DESCRIPTION "${text}" PARENT_SCOPE)
  install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "share/doc/${package}"
    RENAME copyright COMPONENT ${component})
  install(FILES "${changelog}.gz" DESTINATION "share/doc/${package}"
    COMPONENT ${component})
endfunction()

pcl_package(gatekeeper "The gate: the one daemon that clients reach.  It knows who they are, and
how much each may ask for.")
pcl_package(broker "Decides who may do what, writes the audit, and sends each request on.")
pcl_package(proxy "Chooses for each request the database node that it goes to.")
pcl_package(worker-agent "Runs beside a database node, MariaDB or MySQL, and carries requests out.")
pcl_package(portcullisd "Gatekeeper, broker and proxy in one process.")
pcl_package(client "The command portcullis: requests, keys and bundles for clients; a module of
Python; and the tool that measures a cluster.")
pcl_package(secret "Fetches an instance's files from AWS Secrets Manager, with the credentials
of its role.")
pcl_package(node "What a database's host needs done once: settings for its memory, accounts,
a copy of another node.")
pcl_package(lib "The client library.")
pcl_package(dev "The client library's header and static archive.")

set(CPACK_DEBIAN_CLIENT_PACKAGE_SUGGESTS "python3-zmq, python3-msgpack, python3-nacl")
set(CPACK_DEBIAN_NODE_PACKAGE_DEPENDS
  "portcullis-worker-agent, mariadb-server | virtual-mysql-server")

get_cmake_property(CPACK_COMPONENTS_ALL COMPONENTS)
list(REMOVE_ITEM CPACK_COMPONENTS_ALL Unspecified)
include(CPack)
