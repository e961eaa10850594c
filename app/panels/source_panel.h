/// \file
/// The panel of what is open: file, heads to choose from, planted inputs.
#pragma once

#include "panels/file_dialog.h"
#include "panels/head_grid.h"
#include "state/session.h"

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace convscope {

class SourcePanel {
 public:
  /// `surveyed`: errors of heads that were not opened.
  void draw(Session& session, const std::map<LayerHead, double>& surveyed);
  /// Asks the user for files; where the system has no dialog, the panel asks for a path.
  void ask_for_files();
  /// The files that the user asked to open since the last call, by dialog or by name; usually none. Once a frame, also while the
  /// panel is hidden.
  std::vector<std::filesystem::path> poll();
  /// True once after the user asked who is query, key and value.
  bool wants_roles() { return std::exchange(roles_wanted_, false); }
  bool waits_for_dialog() const { return dialog_.is_open(); }

 private:
  static void draw_description(const Session& session);
  static void draw_warnings(const Source& source, const convbasis::LayerInfo& layer);
  void draw_buttons(Session& session);
  void draw_path_entry();
  static void draw_head_grid(Session& session, const std::map<LayerHead, double>& surveyed, float height);
  void draw_planted_form(Session& session);

  FileDialog dialog_;
  bool roles_wanted_ = false;
  bool typing_path_ = false;
  bool path_gets_focus_ = false;  ///< in the next frame
  std::string path_;
  std::vector<std::filesystem::path> chosen_;
  convbasis::PlantedOptions planted_;
};

}  // namespace convscope
