/// \file
/// The panel that puts a second head beside the present one: slot B, and the numbers of both.
#pragma once

#include "analysis/map_tile.h"
#include "state/session.h"

namespace convscope {

/// What the user asked for in one frame.
struct CompareWish {
  bool put = false;    ///< the present head becomes B
  bool swap = false;   ///< A and B change places
  bool clear = false;  ///< there is no B any more
};

/// Window thread only.
class ComparePanel {
 public:
  /// `b` is null while there is no slot B. Changes B's wishes itself, as the other panels do for A.
  CompareWish draw(const Session& a, Session* b);
  /// Which part of both the difference is of: exact or approximation.
  convbasis::MapKind part() const { return part_; }
  void set_part(convbasis::MapKind part) { part_ = part; }

 private:
  static void draw_choice(const Session& a, Session& b);
  static void draw_numbers(const AnalysisResult& a, const AnalysisResult& b);

  convbasis::MapKind part_ = convbasis::MapKind::exact;
};

}  // namespace convscope
