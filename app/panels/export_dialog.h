/// \file
/// The dialog that asks what to export, how and where, and shows how far the export is.
#pragma once

#include "panels/file_dialog.h"
#include "state/export_wish.h"
#include "state/map_view.h"

#include <optional>
#include <string>

namespace convscope {

/// What the user decided in this frame.
struct ExportAnswer {
  std::optional<ExportWish> wish;  ///< to be carried out
  bool stop = false;               ///< stops the export that runs
};

class ExportDialog {
 public:
  /// Opens with the next draw(); `dark` is the look of the window.
  void open(ExportItem item, bool dark);
  /// Draws the dialog while it is open. `result` has an analysis, or the dialog says that there is nothing to export.
  ExportAnswer draw(const AnalysisResult& result, const MapView& view, const Progress& progress);
  bool waits_for_dialog() const { return file_dialog_.is_open(); }

 private:
  void choose(ExportItem item);
  void draw_item();
  void draw_picture_choices();
  void draw_value_choices(const AnalysisResult& result, const MapView& view);
  void draw_path(const Provenance& provenance);
  void draw_buttons(const Provenance& provenance, ExportAnswer& answer);
  void suggest_path(const Provenance& provenance);

  bool open_wanted_ = false;
  ExportWish wish_;
  std::string path_;
  std::string suggested_;  ///< the last path that was suggested: while it is the one shown, it follows the choices
  FileDialog file_dialog_;
};

}  // namespace convscope
