#include "cli/machine.h"

#include "attention/exact_attention.h"
#include "core/fft.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <fstream>

namespace convscope {
namespace {

/// Linux tells the name in a text file; elsewhere there is no such file and the name stays unknown.
std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string compiler_name() {
#if defined(__clang__)
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
  return fmt::format("gcc {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
  return "unknown";
#endif
}

}  // namespace

Machine this_machine(int threads) {
  convbasis::RunContext context;
  context.threads = threads;
  return {.program = CONVSCOPE_VERSION,
          .cpu = cpu_name(),
          .threads = convbasis::thread_count(context),
          .instruction_set = convbasis::kernel_instruction_set(),
          .compiler = compiler_name(),
          .fft = convbasis::fft_library(),
          .eigen = fmt::format("{}.{}.{}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION)};
}

CalibratedFor calibrated_for() { return {CONVSCOPE_VERSION, cpu_name()}; }

nlohmann::ordered_json to_json(const Machine& machine) {
  return {{"version", machine.program},   {"cpu", machine.cpu},
          {"threads", machine.threads},   {"instruction_set", machine.instruction_set},
          {"compiler", machine.compiler}, {"fft", machine.fft},
          {"eigen", machine.eigen}};
}

}  // namespace convscope
