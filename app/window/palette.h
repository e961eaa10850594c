/// \file
/// The command palette: every action, found by some letters of its name.
#pragma once

#include "window/actions.h"

#include <cstddef>
#include <string>
#include <vector>

namespace convscope {

/// Window thread only.
class CommandPalette {
 public:
  static constexpr const char* window_name = "Commands###palette";

  void open() { wanted_ = true; }
  /// Draws it while it is open; runs the chosen action, once it is closed. Once a frame.
  void draw(const ActionTable& actions);

 private:
  void find(const ActionTable& actions);
  void steer();
  /// The place in `found_` of the clicked line, or -1.
  int draw_list(const ActionTable& actions);
  static bool draw_line(const Action& action, bool current);

  bool wanted_ = false;
  bool moved_ = false;  ///< the current line is to be scrolled to
  std::string letters_;
  std::vector<std::size_t> found_;  ///< places in the table
  int current_ = 0;
};

}  // namespace convscope
