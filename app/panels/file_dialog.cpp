#include "panels/file_dialog.h"

#include <portable_file_dialogs.h>

namespace convscope {

struct FileDialog::Dialog {
  explicit Dialog(const std::string& title)
      : chooser(title, "", {"Tensor files", "*.safetensors *.npy", "All files", "*"}, pfd::opt::multiselect) {}
  pfd::open_file chooser;
};

FileDialog::FileDialog() = default;
FileDialog::~FileDialog() = default;

bool FileDialog::available() { return pfd::settings::available(); }

void FileDialog::open(const std::string& title) {
  if (is_open()) return;
  dialog_ = std::make_unique<Dialog>(title);
}

std::vector<std::filesystem::path> FileDialog::poll() {
  if (!dialog_ || !dialog_->chooser.ready(0)) return {};
  const std::vector<std::string> names = dialog_->chooser.result();
  dialog_.reset();
  return {names.begin(), names.end()};
}

}  // namespace convscope
