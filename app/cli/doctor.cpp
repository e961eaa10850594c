#include "cli/console.h"
#include "cli/machine.h"
#include "cli/verbs.h"
#include "state/assets.h"
#include "window/window.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <memory>
#include <string>

namespace convscope {
namespace {

using nlohmann::ordered_json;

/// Something that may be there or not, and the evidence.
struct Finding {
  bool found = false;
  std::string why;  ///< what was found, or why it was not
};

ordered_json to_json(const Finding& finding) { return {{"found", finding.found}, {"why", finding.why}}; }

std::string text(const Finding& finding) { return (finding.found ? "found: " : "not found: ") + finding.why; }

Finding find_gl() {
  try {
    return {true, gl_renderer()};
  } catch (const std::exception& error) {
    return {false, error.what()};
  }
}

/// The driver's library is the one thing a GPU module would need from the system.
Finding find_cuda() {
  constexpr const char* library = "libcuda.so.1";
  if (void* handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL)) {
    dlclose(handle);
    return {true, fmt::format("{} is installed; computing on a GPU is not in this version", library)};
  }
  return {false, fmt::format("{}; computing on a GPU is not in this version", dlerror())};
}

Finding find_example() {
  const auto path = find_asset(example_asset);
  return path ? Finding{true, path->string()} : Finding{false, fmt::format("{} is not installed", example_asset)};
}

void examine(bool json) {
  const Machine machine = this_machine();
  const Finding gl = find_gl();
  const Finding cuda = find_cuda();
  const Finding example = find_example();
  if (json) {
    ordered_json result = to_json(machine);
    result["gl_renderer"] = to_json(gl);
    result["cuda"] = to_json(cuda);
    result["example"] = to_json(example);
    print_json(result);
    return;
  }
  print_field("convscope", machine.program);
  print_field("FFT library", machine.fft);
  print_field("Eigen", machine.eigen);
  print_field("compiler", machine.compiler);
  print_field("processor", machine.cpu);
  print_field("threads", fmt::format("{}", machine.threads));
  print_field("instruction set", machine.instruction_set);
  print_field("GL renderer", printable(text(gl)));
  print_field("CUDA driver", printable(text(cuda)));
  print_field("built-in example", printable(text(example)));
}

}  // namespace

void add_doctor(CLI::App& program) {
  CLI::App* verb = program.add_subcommand("doctor", "Tell versions, threads, instruction set, GL renderer and CUDA");
  auto json = std::make_shared<bool>(false);
  verb->add_flag("--json", *json, "Print one JSON object");
  verb->callback([json] { examine(*json); });
}

}  // namespace convscope
