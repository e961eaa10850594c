/// \file
/// Tries the GPU module on a GPU: every verb of verbs.h over its shapes against the references in double, with the tolerance of
/// the tests, and how long the verbs take. `./dev gpu-check` runs it, and under compute-sanitizer.
///
///     convscope_gpu_check MODULE compare
///     convscope_gpu_check MODULE time [N...]
///
/// Prints Markdown. Exit status: 0 all is well, 1 something differs, 2 it cannot run, with one line that says why.

#include "cuda_host/bench_gpu.h"
#include "cuda_host/verbs.h"

#include <charconv>
#include <cstdio>
#include <exception>
#include <span>
#include <string_view>

namespace {

using namespace convbasis;

/// The worst of one verb's results.
struct Worst {
  double error = 0.0;
  bool fine = true;
  std::string where;
};

Worst compare(const Gpu& gpu, const cuda_verbs::Verb& verb) {
  Worst worst;
  for (const cuda_verbs::Shape& shape : verb.shapes) {
    for (const cuda_verbs::Result& result : verb.run(gpu, shape)) {
      const double error = result.error();
      if (error <= worst.error) continue;  // not so for NaN, which then stays
      if (!(worst.error <= cuda_verbs::tolerance)) continue;
      worst = {error, error <= cuda_verbs::tolerance, std::string(result.what) + " " + name_of(shape)};
    }
  }
  return worst;
}

bool compare_all(const Gpu& gpu) {
  std::printf("| verb | shapes | largest error | of at most | at | |\n|---|---|---|---|---|---|\n");
  bool fine = true;
  for (const cuda_verbs::Verb& verb : cuda_verbs::verbs()) {
    const Worst worst = compare(gpu, verb);
    std::printf("| %s | %zu | %.2e | %.0e | %s | %s |\n", verb.name, verb.shapes.size(), worst.error, cuda_verbs::tolerance,
                worst.where.c_str(), worst.fine ? "right" : "WRONG");
    fine = fine && worst.fine;
  }
  return fine;
}

std::vector<Index> sizes_of(std::span<char*> texts) {
  if (texts.empty()) return {4096, 32768, 131072};
  std::vector<Index> sizes;
  for (const std::string_view text : texts) {
    Index n = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), n);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size() || n < 16) {
      throw InvalidArgument("'" + std::string(text) + "' is no n; it must be a whole number of at least 16");
    }
    sizes.push_back(n);
  }
  return sizes;
}

int run(std::span<char*> arguments) {
  const std::string_view what = arguments.size() > 2 ? arguments[2] : "";
  if (what != "compare" && what != "time") {
    throw InvalidArgument("usage: convscope_gpu_check MODULE compare, or MODULE time [N...]");
  }
  const Gpu gpu{std::filesystem::path(arguments[1])};
  if (!gpu.status().ready()) throw GpuError(gpu.status().why, false);
  const bool fine = what == "compare" ? compare_all(gpu) : print_times(gpu, sizes_of(arguments.subspan(3)));
  return fine ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run(std::span(arguments, static_cast<std::size_t>(count)));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "convscope_gpu_check: %s\n", error.what());
    return 2;
  }
}
