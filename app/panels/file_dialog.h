/// \file
/// The system's dialogs for choosing files to open and a name to save under, which never hold up a frame.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace convscope {

/// One dialog at a time. Window thread only.
class FileDialog {
 public:
  FileDialog();
  ~FileDialog();
  FileDialog(const FileDialog&) = delete;
  FileDialog& operator=(const FileDialog&) = delete;

  /// False when the system has no dialog program (zenity, kdialog, ...): the user types the path then.
  static bool available();
  /// Asks for files to open. `filters`: names and patterns in turn, such as {"Tensor files", "*.safetensors *.npy"}.
  void open(const std::string& title, const std::vector<std::string>& filters);
  /// Asks for a name to save under; the system asks before a file is replaced.
  void save(const std::string& title, const std::filesystem::path& proposal, const std::vector<std::string>& filters);
  /// True while the dialog is on the screen; nobody wakes the window when it closes, so somebody has to ask poll() again.
  bool is_open() const { return opening_ || saving_; }
  /// The chosen files, or the one name, once; empty while the dialog is open and after it was cancelled.
  std::vector<std::filesystem::path> poll();

 private:
  struct Opening;
  struct Saving;
  std::unique_ptr<Opening> opening_;
  std::unique_ptr<Saving> saving_;
};

}  // namespace convscope
