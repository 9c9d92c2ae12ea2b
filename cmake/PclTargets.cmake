# The only place that knows compiler flags.  Every target links pcl_build,
# so a folder's CMakeLists.txt says what it is, never how it is compiled.
include_guard(GLOBAL)

option(PCL_WERROR "Treat warnings as errors" OFF)
option(PCL_FUZZ "Build libFuzzer targets (clang)" OFF)
set(PCL_SANITIZE "" CACHE STRING "Sanitizers: address,undefined | thread")

# Assertions are part of the product: keep them in release builds.
foreach(config RELEASE RELWITHDEBINFO MINSIZEREL)
  string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_${config} "${CMAKE_C_FLAGS_${config}}")
endforeach()

# Everything may end up in libportcullis.so.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_library(pcl_build INTERFACE)
target_compile_definitions(pcl_build INTERFACE
  _POSIX_C_SOURCE=200809L PCL_VERSION="${PROJECT_VERSION}")
target_include_directories(pcl_build INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(pcl_build INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wcast-qual -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -Wvla
  -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference
  -fno-common -fstack-protector-strong
  $<$<BOOL:${PCL_WERROR}>:-Werror>)
if(NOT PCL_SANITIZE)
  target_compile_options(pcl_build INTERFACE
    $<$<CONFIG:Release,RelWithDebInfo>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
endif()
target_link_options(pcl_build INTERFACE -Wl,-z,relro,-z,now)

if(PCL_SANITIZE)
  target_compile_options(pcl_build INTERFACE
    -fsanitize=${PCL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(pcl_build INTERFACE -fsanitize=${PCL_SANITIZE})
endif()

if(PCL_FUZZ) # coverage in the libraries too, or the fuzzer is blind to them
  target_compile_options(pcl_build INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(pcl_build INTERFACE -fsanitize=fuzzer-no-link)
endif()

# pcl_library(<name> [PURE] SOURCES a.c b.c [DEPENDS pcl::x PkgConfig::y])
# PURE: no sockets, threads, clock, randomness, files or environment; a test
# reads the archive's undefined symbols and fails if one of those appears.
function(pcl_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "PURE" "" "SOURCES;DEPENDS")
  add_library(pcl_${name} STATIC ${arg_SOURCES})
  add_library(pcl::${name} ALIAS pcl_${name})
  target_link_libraries(pcl_${name} PUBLIC pcl_build ${arg_DEPENDS})
  if(arg_PURE AND BUILD_TESTING)
    add_test(NAME arch.pure.${name}
      COMMAND "${PROJECT_SOURCE_DIR}/tools/check_pure.sh" $<TARGET_FILE:pcl_${name}>)
    set_tests_properties(arch.pure.${name} PROPERTIES LABELS arch)
  endif()
endfunction()

# pcl_daemon(<name> MAIN main.c DEPENDS ...): the binary portcullis-<name> in
# its own install component.
function(pcl_daemon name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "MAIN" "DEPENDS")
  add_executable(portcullis-${name} ${arg_MAIN})
  target_link_libraries(portcullis-${name} PRIVATE pcl_build ${arg_DEPENDS})
  install(TARGETS portcullis-${name} RUNTIME
    DESTINATION "${CMAKE_INSTALL_SBINDIR}" COMPONENT ${name})
endfunction()

# pcl_unit_test(<name> DEPENDS ...): tests/unit/test_<name>.c on cmocka.
function(pcl_unit_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPENDS")
  add_executable(test_${name} test_${name}.c)
  target_link_libraries(test_${name} PRIVATE pcl_build PkgConfig::CMOCKA ${arg_DEPENDS})
  add_test(NAME unit.${name} COMMAND test_${name})
  set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 60)
endfunction()

# pcl_fuzz(<name> DEPENDS ...): tests/fuzz/fuzz_<name>.c, built twice: with
# replay_main.c as a test over its checked-in corpus (every build), and with
# libFuzzer (PCL_FUZZ, clang).
function(pcl_fuzz name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPENDS")
  add_executable(replay_${name} fuzz_${name}.c replay_main.c)
  target_link_libraries(replay_${name} PRIVATE pcl_build ${arg_DEPENDS})
  file(GLOB samples CONFIGURE_DEPENDS corpus/${name}/*)
  add_test(NAME fuzz.replay.${name} COMMAND replay_${name} ${samples})
  set_tests_properties(fuzz.replay.${name} PROPERTIES LABELS fuzz TIMEOUT 60)
  if(PCL_FUZZ)
    add_executable(fuzz_${name} fuzz_${name}.c)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(fuzz_${name} PRIVATE pcl_build ${arg_DEPENDS})
  endif()
endfunction()
