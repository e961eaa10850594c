/// \file
/// The system's dialog for choosing files, which never holds up a frame.
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
  void open(const std::string& title);
  /// Asks where to save; the system's dialog asks before it lets a file be replaced. `suggestion` is a path.
  void save(const std::string& title, const std::filesystem::path& suggestion);
  /// True while the dialog is on the screen; nobody wakes the window when it closes, so somebody has to ask poll() again.
  bool is_open() const { return dialog_ != nullptr; }
  /// The chosen files, once; empty while the dialog is open and after it was cancelled.
  std::vector<std::filesystem::path> poll();

 private:
  struct Dialog;
  std::unique_ptr<Dialog> dialog_;
};

}  // namespace convscope
