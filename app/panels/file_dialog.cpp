#include "panels/file_dialog.h"

#include <portable_file_dialogs.h>

namespace convscope {

struct FileDialog::Opening {
  Opening(const std::string& title, const std::vector<std::string>& filters)
      : chooser(title, "", filters, pfd::opt::multiselect) {}
  pfd::open_file chooser;
};

struct FileDialog::Saving {
  Saving(const std::string& title, const std::string& proposal, const std::vector<std::string>& filters)
      : chooser(title, proposal, filters) {}
  pfd::save_file chooser;
};

FileDialog::FileDialog() = default;
FileDialog::~FileDialog() = default;

bool FileDialog::available() { return pfd::settings::available(); }

void FileDialog::open(const std::string& title, const std::vector<std::string>& filters) {
  if (!is_open()) opening_ = std::make_unique<Opening>(title, filters);
}

void FileDialog::save(const std::string& title, const std::filesystem::path& proposal, const std::vector<std::string>& filters) {
  if (!is_open()) saving_ = std::make_unique<Saving>(title, proposal.string(), filters);
}

std::vector<std::filesystem::path> FileDialog::poll() {
  if (opening_ && opening_->chooser.ready(0)) {
    const std::vector<std::string> names = opening_->chooser.result();
    opening_.reset();
    return {names.begin(), names.end()};
  }
  if (saving_ && saving_->chooser.ready(0)) {
    const std::string name = saving_->chooser.result();
    saving_.reset();
    if (!name.empty()) return {name};
  }
  return {};
}

}  // namespace convscope
