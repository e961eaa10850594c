# Dear ImGui, ImPlot, GLFW, portable-file-dialogs and fonts, compiled from the sources that `./dev setup` unpacks into the cache.
# A packager points any of the five variables at a copy of their own; the cache is then not needed.
set(cache_root "$ENV{XDG_CACHE_HOME}")
if(NOT cache_root)
  set(cache_root "$ENV{HOME}/.cache")
endif()
set(CONVSCOPE_BUNDLE_DIR "${cache_root}/convscope/imgui_bundle-1.93.0" CACHE PATH "Unpacked imgui-bundle 1.93.0 source archive")
set(CONVSCOPE_IMGUI_DIR "${CONVSCOPE_BUNDLE_DIR}/external/imgui/imgui" CACHE PATH "Dear ImGui sources (docking branch, >= 1.92)")
set(CONVSCOPE_IMPLOT_DIR "${CONVSCOPE_BUNDLE_DIR}/external/implot/implot" CACHE PATH "ImPlot sources")
set(CONVSCOPE_GLFW_DIR "${CONVSCOPE_BUNDLE_DIR}/external/glfw/glfw" CACHE PATH "GLFW sources")
set(CONVSCOPE_PFD_DIR "${CONVSCOPE_BUNDLE_DIR}/external/portable_file_dialogs/portable_file_dialogs" CACHE PATH "Folder of portable_file_dialogs.h")
set(CONVSCOPE_FONTS_DIR "${CONVSCOPE_BUNDLE_DIR}/bindings/imgui_bundle/assets/fonts" CACHE PATH "Folder of the fonts")

foreach(file ${CONVSCOPE_IMGUI_DIR}/imgui.h ${CONVSCOPE_IMPLOT_DIR}/implot.h ${CONVSCOPE_GLFW_DIR}/CMakeLists.txt
             ${CONVSCOPE_PFD_DIR}/portable_file_dialogs.h ${CONVSCOPE_FONTS_DIR}/Roboto/Roboto-Regular.ttf)
  if(NOT EXISTS ${file})
    message(FATAL_ERROR "${file} is missing: run ./dev setup, or set the CONVSCOPE_*_DIR variable that leads to it")
  endif()
endforeach()

set(GLFW_BUILD_DOCS OFF CACHE BOOL "" FORCE)
set(GLFW_BUILD_TESTS OFF CACHE BOOL "" FORCE)
set(GLFW_BUILD_EXAMPLES OFF CACHE BOOL "" FORCE)
set(GLFW_INSTALL OFF CACHE BOOL "" FORCE)
add_subdirectory(${CONVSCOPE_GLFW_DIR} ${CMAKE_BINARY_DIR}/third_party/glfw EXCLUDE_FROM_ALL SYSTEM)

find_package(OpenGL REQUIRED)
add_library(imgui STATIC EXCLUDE_FROM_ALL
  ${CONVSCOPE_IMGUI_DIR}/imgui.cpp ${CONVSCOPE_IMGUI_DIR}/imgui_draw.cpp ${CONVSCOPE_IMGUI_DIR}/imgui_tables.cpp
  ${CONVSCOPE_IMGUI_DIR}/imgui_widgets.cpp ${CONVSCOPE_IMGUI_DIR}/imgui_stacklayout.cpp
  ${CONVSCOPE_IMGUI_DIR}/misc/cpp/imgui_stdlib.cpp
  ${CONVSCOPE_IMGUI_DIR}/backends/imgui_impl_glfw.cpp ${CONVSCOPE_IMGUI_DIR}/backends/imgui_impl_opengl3.cpp
  ${CONVSCOPE_IMPLOT_DIR}/implot.cpp ${CONVSCOPE_IMPLOT_DIR}/implot_items.cpp)
target_include_directories(imgui SYSTEM PUBLIC
  ${CONVSCOPE_IMGUI_DIR} ${CONVSCOPE_IMGUI_DIR}/backends ${CONVSCOPE_IMGUI_DIR}/misc/cpp ${CONVSCOPE_IMPLOT_DIR})
target_link_libraries(imgui PUBLIC glfw OpenGL::GL ${CMAKE_DL_LIBS})

# GLFW ships the OpenGL loader it uses itself; our GL code uses the same one.
add_library(third_party_headers INTERFACE)
target_include_directories(third_party_headers SYSTEM INTERFACE ${CONVSCOPE_GLFW_DIR}/deps ${CONVSCOPE_PFD_DIR})
