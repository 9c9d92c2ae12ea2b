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

# The library goes by Debian's names; everything else is portcullis-COMPONENT.
set(CPACK_DEBIAN_LIB_PACKAGE_NAME "libportcullis${PROJECT_VERSION_MAJOR}")
set(CPACK_DEBIAN_LIB_PACKAGE_SECTION libs)
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

set(CPACK_DEBIAN_CLIENT_PACKAGE_SUGGESTS "python3-zmq, python3-msgpack, python3-nacl")
set(CPACK_DEBIAN_NODE_PACKAGE_DEPENDS
  "portcullis-worker-agent, mariadb-server | virtual-mysql-server")

get_cmake_property(CPACK_COMPONENTS_ALL COMPONENTS)
list(REMOVE_ITEM CPACK_COMPONENTS_ALL Unspecified)
include(CPack)
