// Undo and redo as values, with a clock of the test's own.

#include "state/undo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace convscope {
namespace {

class Undo : public testing::Test {
 protected:
  void SetUp() override {
    step_.request.source = 1;
    step_.request.n = 64;
    rest();
  }
  void look(bool held = false) {
    now_ += 0.1;
    history_.watch(step_, now_, held, n_);
  }
  void rest() {
    for (int frame = 0; frame < 12; ++frame) look();
  }
  void set_k(Index k) {
    step_.request.k = k;
    rest();
  }
  /// Goes back as the window does, then lets the state rest.
  bool undo() {
    const auto before = history_.undo(step_);
    if (before) step_ = *before;
    rest();
    return before.has_value();
  }
  bool redo() {
    const auto next = history_.redo(step_);
    if (next) step_ = *next;
    rest();
    return next.has_value();
  }

  UndoHistory history_;
  UndoStep step_;
  double now_ = 0.0;
  Index n_ = 64;
};

TEST_F(Undo, GoesBackAndForth) {
  const Index first = step_.request.k;
  set_k(7);
  set_k(9);
  EXPECT_EQ(history_.steps(), 2U);
  EXPECT_TRUE(undo());
  EXPECT_EQ(step_.request.k, 7);
  EXPECT_TRUE(undo());
  EXPECT_EQ(step_.request.k, first);
  EXPECT_FALSE(undo());
  EXPECT_TRUE(redo());
  EXPECT_TRUE(redo());
  EXPECT_EQ(step_.request.k, 9);
  EXPECT_FALSE(redo());
}

TEST_F(Undo, DragIsOneStep) {
  const Index first = step_.request.k;
  for (Index k = 10; k < 100; ++k) {
    step_.request.k = k;
    look(true);
  }
  for (int frame = 0; frame < 30; ++frame) look(true);  // held still: not over yet
  EXPECT_EQ(history_.steps(), 0U);
  rest();
  EXPECT_EQ(history_.steps(), 1U);
  EXPECT_TRUE(undo());
  EXPECT_EQ(step_.request.k, first);
}

TEST_F(Undo, DoesNotWaitForTheChangeToRest) {
  const Index first = step_.request.k;
  step_.request.k = 5;
  look();
  EXPECT_TRUE(history_.can_undo(step_));
  EXPECT_TRUE(undo());
  EXPECT_EQ(step_.request.k, first);
  EXPECT_TRUE(redo());
  EXPECT_EQ(step_.request.k, 5);
}

TEST_F(Undo, ChangeAfterUndoForgetsWhatWasUndone) {
  set_k(7);
  EXPECT_TRUE(undo());
  set_k(8);
  EXPECT_FALSE(history_.can_redo(step_));
  EXPECT_FALSE(redo());
  EXPECT_EQ(step_.request.k, 8);
}

TEST_F(Undo, WhatTheSessionMakesOfAStepIsNoChange) {
  set_k(7);
  auto before = history_.undo(step_);
  ASSERT_TRUE(before);
  before->view.window.extent = 32.0;  // clamped by the maps
  step_ = *before;
  rest();
  EXPECT_TRUE(history_.can_redo(step_));
}

TEST_F(Undo, MapsThatTurnToANewSizeAreNoStep) {
  step_.request.n = 32;
  rest();
  step_.view.window = {0.0, 0.0, 32.0};
  n_ = 32;
  rest();
  EXPECT_EQ(history_.steps(), 1U);
}

TEST_F(Undo, MapsThatTurnWhileTheChangeIsFreshAreAPartOfIt) {
  step_.view.window = {10.0, 5.0, 8.0};
  rest();
  step_.request.n = 32;
  look();
  step_.view.window = {0.0, 0.0, 32.0};
  n_ = 32;
  rest();
  EXPECT_EQ(history_.steps(), 2U);
  EXPECT_TRUE(undo());
  EXPECT_EQ(step_.view.window, (CellWindow{10.0, 5.0, 8.0}));
  EXPECT_EQ(step_.request.n, 64);
}

TEST_F(Undo, ForgetsAtAnotherSource) {
  set_k(7);
  step_.request.source = 2;
  rest();
  EXPECT_FALSE(history_.can_undo(step_));
  EXPECT_EQ(history_.steps(), 0U);
}

TEST_F(Undo, KeepsSoManyStepsAndNoMore) {
  for (Index k = 1; k <= 300; ++k) set_k(1000 + k);
  EXPECT_EQ(history_.steps(), UndoHistory::most_steps);
  while (undo()) {
  }
  EXPECT_EQ(step_.request.k, 1100);
}

TEST_F(Undo, LeavesOutARangeThatFollowsTheValues) {
  MapView view;
  const ViewSettings before = settings_of(view);
  view.range = {1e-3, 0.5};
  view.residual_limit = 0.7;
  EXPECT_EQ(settings_of(view), before);
  view.range_locked = true;
  EXPECT_NE(settings_of(view), before);
  MapView other;
  apply(settings_of(view), other);
  EXPECT_EQ(other.range, view.range);
  EXPECT_EQ(other.residual_limit, 0.7);
  EXPECT_EQ(settings_of(other), settings_of(view));
}

}  // namespace
}  // namespace convscope
