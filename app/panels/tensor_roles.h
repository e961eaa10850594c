/// \file
/// The dialog "Who is query, key and value": every tensor of the files, what it was taken for, and the user's word on it.
#pragma once

#include "state/latest_job.h"
#include "state/tensor_listing.h"

#include <functional>
#include <optional>
#include <string>

namespace convscope {

/// Files are looked into on a thread of its own, so that a frame never waits. Window thread only.
class TensorRolesDialog {
 public:
  static constexpr const char* window_name = "Who is query, key and value###tensor_roles";

  /// `wake` is called from another thread when there is something new to draw.
  explicit TensorRolesDialog(std::function<void()> wake) : listing_job_(std::move(wake)) {}

  /// Shows the files with what was settled about them so far.
  void open(FilesRecipe files);
  /// Draws the dialog while it is there. The files as the user wants them opened, once.
  std::optional<FilesRecipe> draw();
  /// True while files are being looked into.
  bool busy() const { return listing_job_.busy(); }
  /// What was found with the choices made so far; null before the first.
  const TensorListing* listing() const { return listing_ ? &*listing_ : nullptr; }

 private:
  void look();
  void take();
  bool up_to_date() const { return listing_ && listing_->recipe == wanted_; }
  void draw_tensors();
  void draw_row(const ListedTensor& tensor, bool several_files);
  void draw_choices();
  void draw_role(TensorRole role);
  void draw_role_list(TensorRole role);
  void draw_layout();
  void draw_finding() const;
  /// True when the user asked for the files to be opened.
  bool draw_buttons();
  void set(TensorRole role, const std::string& name);

  LatestJob<TensorListing> listing_job_;
  std::optional<TensorListing> listing_;
  std::string problem_;  ///< why the files cannot be listed at all
  FilesRecipe wanted_;
  bool opening_ = false;
  std::string filter_;          ///< of the list that is open
  bool list_was_open_ = false;  ///< in the frame before: Escape is for the list then
};

}  // namespace convscope
