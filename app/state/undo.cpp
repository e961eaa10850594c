#include "state/undo.h"

#include <utility>

namespace convscope {

ViewSettings settings_of(const MapView& view) {
  ViewSettings settings{.window = view.window,
                        .quantity = view.quantity,
                        .pooling = view.pooling,
                        .scale = view.scale,
                        .colour_map = view.colour_map,
                        .quantile = view.quantile,
                        .range_locked = view.range_locked,
                        .range = {},
                        .residual_limit = 0.0};
  if (view.range_locked) {
    settings.range = view.range;
    settings.residual_limit = view.residual_limit;
  }
  return settings;
}

void apply(const ViewSettings& settings, MapView& view) {
  view.window = settings.window;
  view.quantity = settings.quantity;
  view.pooling = settings.pooling;
  view.scale = settings.scale;
  view.colour_map = settings.colour_map;
  view.quantile = settings.quantile;
  view.range_locked = settings.range_locked;
  if (!settings.range_locked) return;
  view.range = settings.range;
  view.residual_limit = settings.residual_limit;
}

void UndoHistory::clear() { *this = {}; }

void UndoHistory::record(const UndoStep& current) {
  moved_.reset();
  if (!resting_ || *resting_ == current) return;
  done_.push_back(*resting_);
  if (done_.size() > most_steps) done_.pop_front();
  undone_.clear();
  resting_ = current;
}

void UndoHistory::watch(const UndoStep& current, double now, bool held, Index shown_n) {
  if (!resting_ || resting_->request.source != current.request.source) {
    clear();
    resting_ = current;
    shown_n_ = shown_n;
    return;
  }
  if (std::exchange(adopting_, false)) resting_ = current;
  if (shown_n != shown_n_) {
    shown_n_ = shown_n;
    // Before the change of n has rested, the turn of the maps is a part of it.
    if (resting_->request.n == current.request.n) resting_->view.window = current.view.window;
  }
  if (current == *resting_) {
    moved_.reset();
  } else if (!moved_ || *moved_ != current) {
    moved_ = current;
    moved_at_ = now;
  } else if (!held && now - moved_at_ >= settle_seconds) {
    record(current);
  }
}

std::optional<UndoStep> UndoHistory::undo(const UndoStep& current) {
  record(current);
  if (done_.empty()) return std::nullopt;
  undone_.push_back(current);
  resting_ = std::move(done_.back());
  done_.pop_back();
  adopting_ = true;
  return resting_;
}

std::optional<UndoStep> UndoHistory::redo(const UndoStep& current) {
  record(current);
  if (undone_.empty()) return std::nullopt;
  done_.push_back(current);
  resting_ = std::move(undone_.back());
  undone_.pop_back();
  adopting_ = true;
  return resting_;
}

bool UndoHistory::can_undo(const UndoStep& current) const { return !done_.empty() || (resting_ && *resting_ != current); }

bool UndoHistory::can_redo(const UndoStep& current) const { return !undone_.empty() && resting_ && *resting_ == current; }

}  // namespace convscope
