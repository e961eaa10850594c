/// \file
/// Stands in for app/window in a program that is built without it.
#include "core/errors.h"
#include "window/window.h"

namespace convscope {
namespace {

[[noreturn]] void refuse() {
  throw convbasis::Error(
      "this program was built without the window; use analyze, inspect or curve, or build with CONVSCOPE_WINDOW=ON");
}

}  // namespace

int run_window(const WindowOptions&) { refuse(); }
int run_snapshot(const SnapshotOptions&) { refuse(); }
std::string gl_renderer() { refuse(); }

}  // namespace convscope
