#include "panels/map_layout.h"

#include <gtest/gtest.h>

#include <cfloat>

namespace convscope {
namespace {

TEST(MapLayout, KeepsEverythingInThePanelAndApart) {
  for (const float line : {11.0F, 15.0F, 30.0F}) {
    for (const float width : {20.0F, 25.0F, 40.0F}) {
      for (const float height : {22.0F, 26.0F, 40.0F}) {
        const ImVec2 corner{7.0F, 11.0F};
        const ImVec2 room{width * line, height * line};
        const float label = 3.0F * line;
        const MapLayout layout = lay_out_map(corner, room, label, line, FLT_MAX);
        SCOPED_TRACE(testing::Message() << "line " << line << ", panel " << room.x << " x " << room.y);
        EXPECT_GE(layout.side, 6.0F * line);
        EXPECT_GE(layout.axis_left, corner.x);
        EXPECT_GE(layout.map.x - label - line, layout.axis_left) << "name and labels of the rows fit in the margin";
        EXPECT_LE(layout.map.x + layout.side + label / 2.0F, corner.x + room.x + 1.0F) << "so does half of the last key's label";
        EXPECT_GE(layout.map.y, layout.title.y + line);
        EXPECT_GE(layout.ticks_y, layout.map.y + layout.side);
        if (layout.strip) {
          EXPECT_GE(layout.strip_y, layout.ticks_y + line);
        }
        EXPECT_GE(layout.bar_y, (layout.strip ? layout.strip_y : layout.ticks_y) + line);
        if (layout.statistics) {
          EXPECT_GE(layout.statistics_y, layout.bar_y + layout.bar_height + line);
        }
        const float end = layout.statistics ? layout.statistics_y + 0.875F * line : layout.bar_y + layout.bar_height + line;
        EXPECT_LE(end, corner.y + room.y + 1.0F);
      }
    }
  }
}

TEST(MapLayout, GivesUpLinesOfTextBeforeTheMap) {
  const float line = 15.0F;
  const MapLayout high = lay_out_map({0.0F, 0.0F}, {400.0F, 500.0F}, 30.0F, line, FLT_MAX);
  const MapLayout low = lay_out_map({0.0F, 0.0F}, {400.0F, 220.0F}, 30.0F, line, FLT_MAX);
  EXPECT_TRUE(high.strip && high.statistics);
  EXPECT_FALSE(low.strip && low.statistics);
}

TEST(MapLayout, TakesASmallerSideWhenToldTo) {
  EXPECT_EQ(lay_out_map({0.0F, 0.0F}, {400.0F, 500.0F}, 30.0F, 15.0F, 123.0F).side, 123.0F);
}

TEST(MapFrame, TurnsCellsIntoPointsAndBack) {
  const MapFrame frame{{100.0F, 50.0F}, 300.0F, {10.0, 20.0, 30.0}};
  EXPECT_FLOAT_EQ(frame.x_of(20.0), 100.0F);
  EXPECT_FLOAT_EQ(frame.x_of(50.0), 400.0F);
  EXPECT_FLOAT_EQ(frame.y_of(25.0), 200.0F);
  EXPECT_DOUBLE_EQ(frame.column_at(frame.x_of(35.0)), 35.0);
  EXPECT_DOUBLE_EQ(frame.row_at(frame.y_of(25.0)), 25.0);
  EXPECT_FLOAT_EQ(frame.cell_size(), 10.0F);
}

}  // namespace
}  // namespace convscope
