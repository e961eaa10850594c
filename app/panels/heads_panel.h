/// \file
/// The panel of all heads of a model: an overview, a table, and the survey that fills both.
#pragma once

#include "panels/heads_overview.h"
#include "panels/heads_table.h"
#include "state/head_survey.h"
#include "state/head_table.h"
#include "state/session.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace convscope {

class HeadsPanel {
 public:
  explicit HeadsPanel(std::function<void()> wake) : survey_(std::move(wake)) {}

  /// Once a frame before draw(), also while the panel is hidden: takes results, and decides whether the survey may run. While
  /// `busy`, others need the machine. A panel that is not drawn computes only what was started by hand.
  void poll(const Session& session, bool busy);
  /// A click on a head opens it.
  void draw(Session& session, ColourMap map);

  /// False while the survey of a visible panel is under way, or another frame is needed.
  bool settled() const;
  bool needs_frame() const {
    // One frame without the panel does not mean that it is hidden.
    return drawn_ ? frames_seen_ < 2 || (view_ == View::overview && !overview_.complete()) : frames_hidden_ < 2;
  }
  const HeadSurvey& survey() const { return survey_; }

  /// What the survey knows of the errors that `request` would have in every head; empty where it looks at another n or with other
  /// parameters.
  const std::map<HeadSurvey::LayerHead, double>& errors_for(const AnalysisRequest& request);

  /// The table as a file, all heads by layer and head, with what it belongs to as remarks.
  std::string csv() const;

  enum class View : std::uint8_t { overview, table };
  void show(View view) { view_ = view; }
  void show(HeadsShow what) { show_ = what; }
  void make_ladders(bool make) { ladders_ = make; }
  void set_tokens(Index n) { wanted_n_ = std::max<Index>(n, 1); }
  void set_filter(std::string text) { filter_text_ = std::move(text); }

 private:
  void refresh();
  void draw_work(Index tokens);
  void draw_buttons();
  void draw_tokens(Index tokens);
  void draw_ladder_choice(Index tokens);
  void draw_views();
  void draw_shows();
  void draw_filter();
  void begin();

  HeadSurvey survey_;
  View view_ = View::overview;
  HeadsShow show_ = HeadsShow::maps;
  HeadsOverview overview_;
  HeadsTable table_;

  bool ladders_ = true;
  Index wanted_n_ = 1024;  ///< cut to the layers' tokens
  bool drawn_ = false;     ///< since the last poll()
  int frames_seen_ = 0;    ///< drawn in so many polls in a row, at most 2
  int frames_hidden_ = 0;  ///< not drawn in so many, at most 2
  bool by_hand_ = false;   ///< started by a click: goes on while hidden
  bool paused_ = false;    ///< by a click
  bool stopped_ = false;   ///< by a click: not begun again by itself

  std::string filter_text_;
  // Made from the survey's version and the filter's text.
  std::string parsed_text_;
  ParsedFilter filter_;
  std::uint64_t rows_version_ = 0;  ///< of the survey
  std::uint64_t version_ = 1;       ///< of the rows and what passes
  std::vector<HeadRow> rows_;
  std::unique_ptr<bool[]> passed_;  ///< as many as rows_
  std::map<HeadSurvey::LayerHead, double> errors_;
  std::uint64_t errors_version_ = 0;
  Index errors_n_ = 0;
};

}  // namespace convscope
