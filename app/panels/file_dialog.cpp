#include "panels/file_dialog.h"

#include <portable_file_dialogs.h>

namespace convscope {

struct FileDialog::Dialog {
  std::unique_ptr<pfd::open_file> opening;  // one of the two
  std::unique_ptr<pfd::save_file> saving;
};

FileDialog::FileDialog() = default;
FileDialog::~FileDialog() = default;

bool FileDialog::available() { return pfd::settings::available(); }

void FileDialog::open(const std::string& title) {
  if (is_open()) return;
  dialog_ = std::make_unique<Dialog>();
  const std::vector<std::string> kinds{"Tensor files", "*.safetensors *.npy", "All files", "*"};
  dialog_->opening = std::make_unique<pfd::open_file>(title, "", kinds, pfd::opt::multiselect);
}

void FileDialog::save(const std::string& title, const std::filesystem::path& suggestion) {
  if (is_open()) return;
  dialog_ = std::make_unique<Dialog>();
  dialog_->saving = std::make_unique<pfd::save_file>(title, suggestion.string());
}

std::vector<std::filesystem::path> FileDialog::poll() {
  if (!dialog_) return {};
  std::vector<std::filesystem::path> chosen;
  if (dialog_->opening) {
    if (!dialog_->opening->ready(0)) return {};
    for (const std::string& name : dialog_->opening->result()) chosen.emplace_back(name);
  } else {
    if (!dialog_->saving->ready(0)) return {};
    if (const std::string name = dialog_->saving->result(); !name.empty()) chosen.emplace_back(name);
  }
  dialog_.reset();
  return chosen;
}

}  // namespace convscope
