/// \file
/// Runs the real convscope binary, as a shell would, and collects what it says.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace convscope::testing {

struct ProcessResult {
  int exit_code = -1;                             ///< -1 when a signal ended it
  std::string out;                                ///< standard output
  std::string err;                                ///< standard error
  std::chrono::duration<double> after_signal{0};  ///< from the signal to the end, when one was sent
};

/// Sends `number` to the process `delay` after its start.
struct Signal {
  int number;
  std::chrono::milliseconds delay;
};

struct RunOptions {
  std::optional<Signal> signal = std::nullopt;
  std::filesystem::path out = {};  ///< where standard output goes instead of into the result
};

/// Runs convscope with `arguments` in `folder` and waits for its end. Standard input is empty.
ProcessResult run_convscope(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
                            const RunOptions& options = {});

/// A new empty folder that goes away with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& bytes) const;
  /// Names of all that is in it, sorted.
  std::vector<std::string> names() const;

 private:
  std::filesystem::path path_;
};

}  // namespace convscope::testing
