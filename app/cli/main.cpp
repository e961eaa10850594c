/// \file
/// The program's edge: the parser, and exceptions as exit codes (product page, "Command line").

#include "cli/console.h"
#include "cli/machine.h"
#include "cli/verbs.h"
#include "core/errors.h"
#include "state/calibration.h"

#include <fmt/format.h>
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <cstdio>
#include <memory>
#include <new>
#include <string>
#include <string_view>

namespace convscope {
namespace {

enum ExitCode : int { done = 0, work_failed = 1, bad_usage = 2, bad_input_file = 3 };

/// Help without what only the parser needs to know of an option, such as which others it excludes.
class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text;
    if (!option->get_type_name().empty() && option->get_type_size() != 0) text += " " + plain_type(option->get_type_name());
    if (!option->get_default_str().empty()) text += "=" + option->get_default_str();
    if (option->get_required()) text += " (required)";
    return text;
  }

 private:
  /// The name we gave, without the checks that the parser appends to it: "NAME:{f32,f64}".
  static std::string plain_type(const std::string& name) { return name.substr(0, name.find(':')); }
};

/// Always exactly one line, whatever file names and tensor names the message carries.
int fail(ExitCode code, std::string_view message) {
  fmt::print(stderr, "convscope: {}\n", printable(message));
  return code;
}

void add_verbs(CLI::App& program, int& exit_code) {
  program.name("convscope");
  program.set_version_flag("--version", "convscope " CONVSCOPE_VERSION);
  program.formatter(std::make_shared<HelpFormatter>());
  program.require_subcommand(0, 1);
  program.footer("Exit codes: 0 done, 1 the work failed, 2 bad usage, 3 bad input file.");
  add_inspect(program);
  add_analyze(program);
  add_atlas(program);
  add_curve(program);
  add_train(program);
  add_snapshot(program, exit_code);
  add_doctor(program);
  add_window(program, exit_code);
}

/// What was measured on this machine decides between ways of computing the same; without it the engine's own numbers do.
void use_calibration() {
  const LoadedCalibration loaded = load_calibration(calibration_path(), calibrated_for());
  if (loaded.model) convbasis::set_cost_model(*loaded.model);
  if (!loaded.warning.empty()) fmt::print(stderr, "convscope: warning: {}\n", printable(loaded.warning));
}

int run(int argc, char** argv) {
  CLI::App program("A microscope for the structure of attention. With no verb it opens the window.");
  int exit_code = done;
  try {
    add_verbs(program, exit_code);
    use_calibration();
    program.parse(argc, argv);
    if (std::fflush(stdout) != 0) return fail(work_failed, "standard output cannot be written");
    return exit_code;
  } catch (const CLI::Success& help) {
    return program.exit(help);
  } catch (const CLI::ParseError& error) {
    return fail(bad_usage, fmt::format("{}; see convscope --help", error.what()));
  } catch (const convbasis::InvalidArgument& error) {
    return fail(bad_usage, error.what());
  } catch (const convbasis::FileError& error) {
    return fail(bad_input_file, error.what());
  } catch (const std::bad_alloc&) {
    return fail(work_failed, "not enough memory for inputs of this size; try a smaller n");
  } catch (const std::exception& error) {
    return fail(work_failed, error.what());
  }
}

}  // namespace
}  // namespace convscope

// NOLINTNEXTLINE(bugprone-exception-escape): only when memory is too short for the error message itself
int main(int argc, char** argv) { return convscope::run(argc, argv); }
