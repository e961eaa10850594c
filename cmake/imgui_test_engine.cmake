# Dear ImGui Test Engine, from the same source archive, for the tests that work the window with mouse and keyboard. Only their
# executable links it: the program convscope and all that is installed know nothing of it. It has a licence of its own (see
# CONTRIBUTING.md), so it can be left out: CONVSCOPE_TEST_ENGINE=OFF.
set(CONVSCOPE_TEST_ENGINE_DIR "${CONVSCOPE_BUNDLE_DIR}/external/imgui_test_engine/imgui_test_engine/imgui_test_engine"
  CACHE PATH "Dear ImGui Test Engine sources")
set(test_engine_found OFF)
if(EXISTS ${CONVSCOPE_TEST_ENGINE_DIR}/imgui_te_engine.cpp)
  set(test_engine_found ON)
endif()
option(CONVSCOPE_TEST_ENGINE "Build the tests that work the window through Dear ImGui Test Engine" ${test_engine_found})

if(CONVSCOPE_TEST_ENGINE)
  # The three files of Dear ImGui that call the engine's hooks, compiled with them. As objects, not as an archive: they define
  # every symbol that the same three members of `imgui` do, so the linker never takes those members, whatever the order.
  add_library(imgui_test_engine OBJECT EXCLUDE_FROM_ALL
    ${CONVSCOPE_IMGUI_DIR}/imgui.cpp ${CONVSCOPE_IMGUI_DIR}/imgui_tables.cpp ${CONVSCOPE_IMGUI_DIR}/imgui_widgets.cpp
    ${CONVSCOPE_TEST_ENGINE_DIR}/imgui_capture_tool.cpp ${CONVSCOPE_TEST_ENGINE_DIR}/imgui_te_context.cpp
    ${CONVSCOPE_TEST_ENGINE_DIR}/imgui_te_coroutine.cpp ${CONVSCOPE_TEST_ENGINE_DIR}/imgui_te_engine.cpp
    ${CONVSCOPE_TEST_ENGINE_DIR}/imgui_te_exporters.cpp ${CONVSCOPE_TEST_ENGINE_DIR}/imgui_te_perftool.cpp
    ${CONVSCOPE_TEST_ENGINE_DIR}/imgui_te_utils.cpp)
  target_include_directories(imgui_test_engine SYSTEM PUBLIC ${CONVSCOPE_TEST_ENGINE_DIR})
  target_compile_definitions(imgui_test_engine PUBLIC
    IMGUI_ENABLE_TEST_ENGINE IMGUI_TEST_ENGINE_ENABLE_COROUTINE_STDTHREAD_IMPL=1 IMGUI_TEST_ENGINE_ENABLE_STD_FUNCTION=1
    IMGUI_TEST_ENGINE_ENABLE_CAPTURE=0)
  target_link_libraries(imgui_test_engine PUBLIC imgui Threads::Threads)
endif()
