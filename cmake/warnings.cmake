# What every target of ours is compiled with; third-party sources are not (they are SYSTEM or their own targets).
add_library(convscope_flags INTERFACE)
target_compile_options(convscope_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror)
if(CONVSCOPE_SANITIZE)
  # g++ reports values inside the standard library as maybe uninitialised once they are instrumented; its manual says so.
  target_compile_options(convscope_flags INTERFACE -Wno-maybe-uninitialized)
  add_compile_options(-fsanitize=${CONVSCOPE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CONVSCOPE_SANITIZE})
endif()
