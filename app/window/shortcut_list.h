/// \file
/// The list of all keys, made from the table of actions and from what the mouse does on the maps.
#pragma once

#include "window/actions.h"

namespace convscope {

/// Window thread only.
class ShortcutList {
 public:
  static constexpr const char* window_name = "Keys and mouse###keys";

  void open() { wanted_ = true; }
  void draw(const ActionTable& actions);

 private:
  bool wanted_ = false;
};

}  // namespace convscope
