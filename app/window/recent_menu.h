/// \file
/// The menu of files that were opened before; whether they are still there is looked up on another thread.
#pragma once

#include "state/settings.h"

#include <memory>
#include <vector>

namespace convscope {

/// Window thread only.
class RecentMenu {
 public:
  /// Draws the items into the open menu; what is missing is greyed from the next frame on. The chosen one, or null.
  const FileGroup* draw(const std::vector<FileGroup>& recent);

 private:
  struct Answer;
  void look_up(const std::vector<FileGroup>& recent);

  int last_frame_ = -2;             ///< in which the menu was open
  std::shared_ptr<Answer> answer_;  ///< shared with a thread that may hang on a disk that does not answer
};

}  // namespace convscope
