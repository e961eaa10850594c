/// \file
/// Exports in full: the dialog, the work behind it, and the message at its end.
#pragma once

#include "panels/basis_panel.h"
#include "panels/export_dialog.h"
#include "panels/residual_errors_panel.h"
#include "state/export_runner.h"
#include "state/map_view.h"
#include "state/session.h"
#include "window/actions.h"
#include "window/picture_painter.h"

#include <functional>
#include <vector>

namespace convscope {

/// Window thread only; the OpenGL context must be current in poll() and in the destructor.
class Exporter {
 public:
  /// What an export is made from. The panels are copied when an export begins, so it shows what they showed then.
  struct Inputs {
    Session& session;
    const MapView& view;
    const BasisPanel& basis;
    const ResidualErrorsPanel& errors;
    bool dark;
  };

  explicit Exporter(std::function<void()> wake);

  /// The entries of the menu "Export". `dark` tells how the window looks.
  std::vector<Action> actions(Session& session, std::function<bool()> dark);
  /// Draws the dialog while it is open. Once a frame.
  void draw(const Inputs& inputs);
  /// Does some milliseconds of the export that runs, if one does; its end is told to the session. Between frames, once for each.
  void poll(Session& session);
  /// Begins without the dialog. False while another export runs, or when there is no analysis.
  bool start(const ExportWish& wish, const Inputs& inputs);

  bool busy() const { return runner_.busy(); }
  bool waits_for_dialog() const { return dialog_.waits_for_dialog(); }

 private:
  ExportDialog dialog_;
  PicturePainter painter_;
  ExportRunner runner_;
};

}  // namespace convscope
