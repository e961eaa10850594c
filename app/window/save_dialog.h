/// \file
/// Asks under which name to save: with the system's dialog, or with a field to type into where there is none.
#pragma once

#include "panels/file_dialog.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace convscope {

/// One question at a time. Window thread only.
class SaveDialog {
 public:
  static constexpr const char* window_name = "Save as###save_as";

  struct Question {
    std::string title;
    std::filesystem::path proposal;
    std::string ending;                ///< appended to names without it: ".csv"
    std::vector<std::string> filters;  ///< see FileDialog::open
    std::function<void(const std::filesystem::path&)> save;
  };

  void ask(Question question);
  /// Draws the field while it is there; calls `save` with the answer. Once a frame.
  void draw();
  /// Nobody wakes the window when the system's dialog closes.
  bool waits_for_dialog() const { return dialog_.is_open(); }

 private:
  void draw_field();
  void answer(std::filesystem::path path);

  FileDialog dialog_;
  Question question_;
  bool field_wanted_ = false;
  std::string typed_;
};

}  // namespace convscope
