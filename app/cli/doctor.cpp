#include "analysis/calibrate.h"
#include "cli/console.h"
#include "cli/long_work.h"
#include "cli/machine.h"
#include "cli/verbs.h"
#include "state/assets.h"
#include "state/calibration.h"
#include "state/gpu.h"
#include "window/window.h"

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

/// Which path runs, and why.
Finding find_cuda() {
  const auto gpu = open_gpu();
  const convbasis::GpuStatus& status = gpu->status();
  return {status.ready(), status.ready() ? status.why : status.why + "; everything is computed on the CPU"};
}

Finding find_example() {
  const auto path = find_asset(example_asset);
  return path ? Finding{true, path->string()} : Finding{false, fmt::format("{} is not installed", example_asset)};
}

Finding find_calibration() {
  const auto path = calibration_path();
  const LoadedCalibration loaded = load_calibration(path, calibrated_for());
  if (loaded.model) return {true, path.string()};
  return {false, loaded.warning.empty() ? "the built-in cost model is used; measure one with convscope doctor --calibrate"
                                        : loaded.warning};
}

/// Measures the machine and keeps the result, for this run too.
void calibrate_here() {
  LongWork work(0);
  const convbasis::CostModel model = convbasis::calibrate(work.context());
  work.finish();
  write_result([&] { save_calibration(calibration_path(), {calibrated_for(), model}); });
  convbasis::set_cost_model(model);
}

void examine(bool json) {
  const Machine machine = this_machine();
  const Finding gl = find_gl();
  const Finding cuda = find_cuda();
  const Finding example = find_example();
  const Finding calibration = find_calibration();
  if (json) {
    ordered_json result = to_json(machine);
    result["gl_renderer"] = to_json(gl);
    result["cuda"] = to_json(cuda);
    result["example"] = to_json(example);
    result["calibration"] = to_json(calibration);
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
  print_field("GPU", printable(text(cuda)));
  print_field("built-in example", printable(text(example)));
  print_field("calibration", printable(text(calibration)));
}

}  // namespace

void add_doctor(CLI::App& program) {
  CLI::App* verb = program.add_subcommand("doctor", "Tell versions, threads, instruction set, GL renderer, CUDA and calibration");
  auto json = std::make_shared<bool>(false);
  auto calibrate = std::make_shared<bool>(false);
  verb->add_flag("--json", *json, "Print one JSON object");
  verb->add_flag("--calibrate", *calibrate, "Measure what decides between ways of computing (some seconds) and keep it");
  verb->callback([json, calibrate] {
    if (*calibrate) calibrate_here();
    examine(*json);
  });
}

}  // namespace convscope
